"""What becomes of a payment after its charge: pure decisions on a locked view of its intent.

Theory of operation. A charge is decided on the hot path, where two statements know all they need.
Everything else depends on what has happened to the intent so far, so it is decided on an
`IntentView`: the intent, its transactions, its attempts with their results, and its rows in the
queues, read under the intent's lock. A decider looks at a view and says `Plan` (rows to write) or
`Lost` (an error code, nothing written). It does no I/O, reads no clock and draws no number: ids and
numbers that a plan may need are drawn beforehand (`Spare`).

Because every decision about an intent sees all earlier ones, rules that would race elsewhere are
plain `if`s here. Exactly one of adopting an answer and reversing wins, since whoever decides second
sees the first. A decision that has to be run again recognizes its own rows in the view and answers
as it did before.

- `records`    what deciders are given and give back
- `reading`    questions to a view
- `writing`    rows of a plan
- `matter`     a finding beside all that it is judged by, and what a plan says of it
- `admitting`  a merchant's capture, cancel or refund: may it be, and which message does it take
- `charges` `captures` `cancels` `refunds`  what a finding does to each of them
- `reversals`  beginning one, its acknowledgment, and answers that come after it
- `advices`    completions and releases; what poison and operators do to the queue
- `settling`   which of these takes a finding, inquiries included
- `retrying`   another attempt of the same charge
- `answers`    what an answer says, and whether it needs a decision
- `letters`    the message of an attempt, as far as the ledger knows it
- `steps`      all of these as steps of `ledger.deciding`
"""
