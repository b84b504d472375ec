"""The life of a charge: batches through stages.

    intake -> known key? -> open card (HSM) -> route, reserve -> commit 1 -> encode, send
           ... network ... -> match -> commit 2 -> reply

Each arrow is an `Inbox`; each stage is one Trio task that takes what waits, decides for the whole
batch in pure code, and hands on. While one commit is in flight the next batch gathers, so there is
no added wait when idle and batches grow under load. Nothing here spawns a task, takes a lock, opens
a cancel scope, writes a log line or issues an SQL statement per payment.

A payment holds one admission credit from intake to reply, which bounds every inbox. A stage's
work on one payment is total: an exception becomes that payment's outcome, is counted and told of.
Before commit 1 the payment is refused with an internal error; after it, while no byte can have
left, it is `not_sent`; then it is `unknown`.

A card lives in `Payment.card` from the HSM's answer to the first result of its attempt, and never
past the time in which its message could be sent and answered.

- `payment`    the record that travels, and the counters
- `intake`     admission; a duplicate in flight joins the first
- `lookup`     keys already used are answered from the ledger; merchants' acceptor data
- `opening`    cards through the HSM, a bounded number of batches in flight
- `recording`  route, reserve, numbers, commit 1 (fast lane and slow lane), encode, send
- `settling`   network events to outcomes, commit 2, replies
- `held`       outcomes whose intents somebody sits on, in order inside each intent
- `orphans`    answers to nothing in flight, looked up in the ledger
- `replying`   answers to the api, credits back
- `inboxes`    what waits between them; `outside`: what they are given
- `assembly`   all of them, and the order in which they drain
- `anomalies`  log lines about single payments, a bounded number a second
- `patience`   look-ups that wait for a ledger that is away
"""
