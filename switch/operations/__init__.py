"""What follows a charge, in Trio: orders of merchants, doubts, and advices to be repeated.

    order   -> known key? -> look at the intent -> reserve, release card -> decide -> send
            ... network ... -> decide what the answer does -> reply
    doubt   -> decide: inquire or reverse -> send
    advice  -> count the sending -> send or send again
            ... network ... -> decide what the answer does

All of them decide under the intent's lock (`ledger.deciding`, `switch.core.operations`). This is
the cold path: it reads whole histories and takes two round trips to the ledger a decision, in
batches. Nothing of it stands in the way of a plain charge (`switch.pipeline`).

What happens to a message and what is decided about it are apart: whoever sends hands an `Exchange`
to the links, and its answer, its silence or its failure becomes a decision of the desk that the
attempt belongs to, whoever still waits for it.

- `desk`       batches of decisions in the name of one switch
- `drawing`    ids and numbers for messages that a decision may call for
- `cards`      released by the HSM, in batches; `acceptors`: merchants, as networks know them
- `telling`    findings to decisions, whoever found them out
- `exchanges`  messages in flight, and what their answers say
- `errands`    the record of an order, and the counters
- `intake`     admission, duplicates that join, replies
- `orders`     captures, cancels, refunds: looked at, reserved for, decided, sent
- `equipping`  slots and cards for messages of the queues
- `doubts`     inquiries, and reversals when nobody has answered them
- `forwarder`  store-and-forward
- `watch`      the queues of one switch, for as long as this process is responsible for them
- `watches`    one a responsibility, gained and lost as the keeper of leases tells
- `surroundings`  what they are given, and how each network is treated
- `tools`      what they share, and how a watch and the orders are made of it
- `assembly`   all of them, and the order in which they drain
"""
