"""Webhooks in the ledger: endpoints, the events that merchants are told, and their deliveries.

    kinds       which changes of a payment merchants hear of
    changes     versions of payment intents, found among the stream's records
    endpoints   where merchants want to hear
    events      what they were told: rows, and what goes into them
    deliveries  who still has to be told, and how each try ended

Endpoints stand on shard 0, beside merchants and keys; the rest on the shard of the payment.
"""
