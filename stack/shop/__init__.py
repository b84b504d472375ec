"""The demo shop: a merchant's web site of one page, to pay in and to copy from.

It stands on the merchant's side of the API and knows nothing of the rest: its server signs requests
with the Python client, its page mounts the hosted card fields.
"""
