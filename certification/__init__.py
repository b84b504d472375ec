"""Certification: every case of the catalog against the real switch, or against somebody else's.

`catalog.toml` says what each case is for, what is done and what must follow. `suites` holds one
function a case. `runner` plays them: a whole stack as `turnout up` runs it, the networks in this
process over real mutual TLS on the public codec. `invariants` ends every case with what must hold
whatever happened, from three witnesses that share no code with the switch. `peer` judges any
acquirer from the wire alone.
"""
