"""The ISO 8583 links to one card network.

`session` (one connection's state machine) and `correlation` (which answer belongs to which
message) are pure; `runner` gives a connection its tasks and `group` makes the connections of a
network one.
"""
