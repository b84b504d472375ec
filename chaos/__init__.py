"""Chaos: a stack under load while everything about it fails, and then the proof (money.md 8).

Theory of operation. A seed decides two things, and both are pure: the payments (`stories`: which
card, which amounts, what follows the charge, whose answers are thrown away, what is asked twice)
and the faults (`schedule`: what is killed, stopped, restarted, cut, garbled or stepped, and when).
How the stack stands it depends on the machine, so two runs of one seed ask the same and suffer the
same, but do not interleave alike.

Faults of processes are done from outside, with signals, whenever something is under way. Faults of
networks are tied to payments: each has an amount that no other payment has, and a rule of the
network's fault script waits for it. So it hits the message it is meant for, a capture or a reversal
for instance, and whatever else is on its connection.

When the time is over the faults stop, every payment plays on to its end, and everything must come
to rest: no doubt left, nothing in store-and-forward unless it waits for a person. Only then are the
three witnesses heard, which share no code: what the merchant was told over HTTP, what the ledger
holds (plain SQL, read by another process), and what the networks wrote into their own books. Beside
them the event stream is held to the ledger, version by version, and the audit log is verified.

- `stories`      the payments, from the seed
- `schedule`     the faults, from the seed
- `scripts`      those that networks make, as fault scripts
- `shop`         plays the payments and writes down every answer
- `faults`       does the others to a running stack
- `rest`         waits until nothing is under way any more
- `ledger_rows`  the second witness, as a program of its own
- `books`        the third witness
- `agreement`    compares them
- `stream_rows`  reads stream and tables, as a program of its own; `streamed` compares them
- `audited`      has the audit log verified
- `run`          all of it, to one document
"""
