"""Webhooks: merchants hear of their payments from us, signed (docs/webhooks.md).

bodies      what an event says, as JSON
consumer    from the stream to events and deliveries
signing     Standard Webhooks
addresses   which addresses may be dialed (security.md 5.3)
targets     what a URL of an endpoint may be
schedule    when to try again, when to give up
lanes       how many tries an endpoint may have at once
replies     an HTTP answer, read as far as it matters
dialing     from a name to a connection to an address that was checked
posting     one try
keyring     where to send and what signs it, kept for a moment
sender      everything that is due, sent; a process of its own with the consumer
service     that process
endpoints, deliveries, events    what the api's routes do
"""
