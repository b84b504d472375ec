"""Three-way agreement: merchant, ledger and networks say the same of every payment. Pure.

Theory of operation. A payment is named by its intent. For each of them three things are held
together, and each is checked against the other two:

    merchant    the answers to its requests, and the intent as it reads it in the end
    ledger      the intent's row, its transactions, its attempts
    networks    the lines of their books that carry the numbers of those attempts

The books are sums: how much a message left held on the account, and how much it moved. So whatever
happened on the way (a sale and its reversal, a capture of a part and the release of the rest), what
the lines of a transaction's attempts posted must be what the ledger says the transaction moved, and
what the lines of an intent's attempts hold must be what can still be captured.

A line that carries the numbers of no attempt, or an answer that the merchant got about a
transaction which the ledger has not, is something lost. What has happened more often than it was
asked for is duplicated. What has no end yet is unresolved; what waits for a person has one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from chaos.books import orphaned_reversals
from chaos.records import Attempt, Intent, Ledger, Line, Merchant, Seen, Told, Transaction

FINAL: Final = frozenset({"succeeded", "failed", "reversed"})
UNFINISHED_INTENTS: Final = frozenset({"processing", "pending_verification"})
# Refusals of a message as such: nothing was decided, so no book tells of them.
UNDECIDED_CODES: Final = frozenset({"09", "30", "63", "94", "96"})
ABSENT: Final = "absent"


@attrs.frozen(kw_only=True)
class Verdict:
    """What is wrong, by the name of the payment: its intent, or a line's network and RRN.

    Attributes:
        payments: how many were judged.
        unresolved: no end.
        lost: known to one witness and not to another that must know it.
        duplicated: happened more often than asked for.
        disagree: every payment of which anything is wrong, with what each witness says.
        reasons: in words, by payment.
        manual: payments that wait for a person.
    """

    payments: int
    unresolved: tuple[str, ...]
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    disagree: tuple[dict[str, str], ...]
    reasons: dict[str, tuple[str, ...]]
    manual: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.unresolved or self.lost or self.duplicated or self.disagree)


@attrs.define
class _Payment:
    """Everything that anybody says of one intent."""

    name: str
    row: Intent | None = None
    seen: Seen | None = None
    told: list[Told] = attrs.field(factory=list)
    transactions: dict[str, Transaction] = attrs.field(factory=dict)
    attempts: list[Attempt] = attrs.field(factory=list)
    lines: list[Line] = attrs.field(factory=list)

    @property
    def manual(self) -> bool:
        return any(attempt.manual for attempt in self.attempts)


def agree(merchant: Merchant, ledger: Ledger, books: Sequence[Line]) -> Verdict:
    """Compare the witnesses, with everything at rest."""
    payments, strangers = _collected(merchant, ledger, books)
    unanswered = set(merchant.unanswered)
    orphaned = {line.key for line in orphaned_reversals(books)}
    numbers = Counter(map(_number, ledger.attempts))
    wrong: dict[str, dict[str, list[str]]] = {}
    for name, payment in payments.items():
        found = {
            "unresolved": list(_unresolved(payment, answered=name not in unanswered)),
            "lost": list(_lost(payment)),
            "duplicated": [
                *_duplicated(payment, merchant.asked),
                *_numbers_reused(payment, numbers),
            ],
        }
        settled = not (found["unresolved"] or payment.manual)
        found["disagree"] = list(_disagreement(payment, orphaned)) if settled else []
        if any(found.values()):
            wrong[name] = found
    stray = [f"{line.network} {line.entry.rrn}" for line in strangers]
    return Verdict(
        payments=len(payments),
        unresolved=_named(wrong, "unresolved"),
        lost=(*_named(wrong, "lost"), *stray),
        duplicated=_named(wrong, "duplicated"),
        disagree=(
            *(_sayings(payments[name]) for name in wrong),
            *(_saying_of_stranger(line) for line in strangers),
        ),
        reasons={
            name: tuple(text for texts in found.values() for text in texts)
            for name, found in wrong.items()
        },
        manual=tuple(name for name, payment in payments.items() if payment.manual),
    )


def _collected(
    merchant: Merchant, ledger: Ledger, books: Sequence[Line]
) -> tuple[dict[str, _Payment], list[Line]]:
    """Everything by intent, and the lines that belong to none."""
    payments: dict[str, _Payment] = {}

    def of(name: str) -> _Payment:
        return payments.setdefault(name, _Payment(name))

    for row in ledger.intents:
        of(row.intent).row = row
    for transaction in ledger.transactions:
        of(transaction.intent).transactions[transaction.transaction] = transaction
    owners: dict[tuple[str, ...], str] = {}
    for attempt in ledger.attempts:
        of(attempt.intent).attempts.append(attempt)
        owners[attempt.key] = attempt.intent
    for told in merchant.told:
        of(told.intent).told.append(told)
    for seen in merchant.seen:
        of(seen.intent).seen = seen
    for name in merchant.unanswered:
        of(name)
    strangers: list[Line] = []
    for line in books:
        owner = owners.get(line.key)
        if owner is None:
            strangers.append(line)
        else:
            payments[owner].lines.append(line)
    return payments, strangers


def _unresolved(payment: _Payment, *, answered: bool) -> Iterator[str]:
    if not answered:
        yield "a request was never answered"
    if payment.manual:
        return
    row = payment.row
    if row is not None and (row.status in UNFINISHED_INTENTS or row.refund_pending):
        yield f"the intent is {row.status}, with {row.refund_pending} in refunds"
    for transaction in payment.transactions.values():
        if transaction.status not in FINAL:
            yield f"{transaction.transaction} is {transaction.status}"
    for attempt in payment.attempts:
        if attempt.open:
            yield f"{attempt.kind} {attempt.rrn} {attempt.stan} is open"


def _lost(payment: _Payment) -> Iterator[str]:
    if payment.row is None and (payment.told or payment.seen):
        yield "the ledger has no such intent"
    if payment.row is not None and payment.seen is None:
        yield "the merchant cannot read it"
    for told in payment.told:
        if told.transaction not in payment.transactions:
            yield f"the ledger has no {told.transaction}, which was told {told.status}"
    carried = {line.key for line in payment.lines}
    tries = Counter(
        each.transaction for each in payment.attempts if each.kind in ("request", "reversal")
    )
    for attempt in payment.attempts:
        if attempt.result == "unknown" and tries[attempt.transaction] > 1:
            continue  # it may never have come: what was sent behind it says what became of it
        if _must_be_carried(attempt) and attempt.key not in carried:
            yield f"no book has the {attempt.kind} {attempt.rrn} {attempt.stan}"


def _must_be_carried(attempt: Attempt) -> bool:
    """Whether a network answered it with something that it had decided."""
    if attempt.kind == "inquiry":
        return False
    final = attempt.resolution or attempt.result
    if attempt.kind in ("reversal", "release") and final == "declined":
        return False
    if final in ("approved", "partial"):
        return True
    return final == "declined" and attempt.response_code not in UNDECIDED_CODES


def _duplicated(payment: _Payment, asked: dict[tuple[str, str], int]) -> Iterator[str]:
    by_key: defaultdict[str, set[str]] = defaultdict(set)
    for told in payment.told:
        by_key[told.key].add(told.transaction)
    for key, transactions in by_key.items():
        if len(transactions) > 1:
            yield f"{key} made {len(transactions)} transactions"
    made = Counter(each.type for each in payment.transactions.values())
    for kind, count in made.items():
        if count > asked.get((payment.name, kind), 0):
            yield f"{count} of type {kind}, asked for {asked.get((payment.name, kind), 0)}"
    for numbers, count in Counter(line.key for line in payment.lines).items():
        if count > 1:
            yield f"a book has {' '.join(numbers)} {count} times"


def _numbers_reused(payment: _Payment, numbers: Counter[tuple[str, ...]]) -> Iterator[str]:
    """Messages that no network can tell from others (money.md I8)."""
    for attempt in payment.attempts:
        if numbers[_number(attempt)] > 1:
            yield f"STAN {attempt.stan} at {attempt.de7} was used twice on {attempt.network}"


def _number(attempt: Attempt) -> tuple[str, ...]:
    return (attempt.network, attempt.acquirer_id, attempt.stan, attempt.de7)


def _disagreement(payment: _Payment, orphaned: set[tuple[str, ...]]) -> Iterator[str]:
    yield from _told_otherwise(payment)
    yield from _sums_otherwise(payment)
    yield from _posted_otherwise(payment)
    for line in payment.lines:
        if line.key in orphaned:
            yield f"the book has no message that {line.entry.rrn} {line.entry.stan} reversed"


def _told_otherwise(payment: _Payment) -> Iterator[str]:
    """What the merchant heard, against the ledger."""
    for told in payment.told:
        held = payment.transactions.get(told.transaction)
        if held is None or told.status not in FINAL:
            continue
        if (told.status, told.type) != (held.status, held.type):
            yield f"{told.transaction} was told {told.status}, the ledger has {held.status}"
        elif told.status == "succeeded" and told.amount != held.amount:
            yield f"{told.transaction} was told {told.amount}, the ledger has {held.amount}"
    row, seen = payment.row, payment.seen
    if row is not None and seen is not None and _amounts(row) != _amounts(seen):
        yield f"the merchant reads {_amounts(seen)}, the ledger has {_amounts(row)}"


def _amounts(row: Intent | Seen) -> tuple[str, int, int, int]:
    return row.status, row.captured, row.refunded, row.capturable


def _sums_otherwise(payment: _Payment) -> Iterator[str]:
    """The amounts of the intent, against its transactions and its holds."""
    row = payment.row
    if row is None:
        return
    captured = sum(_moved(payment, each) for each in payment.transactions.values())
    if captured != row.captured - row.refunded:
        yield f"transactions moved {captured}, the intent says {row.captured} - {row.refunded}"
    held = sum(line.entry.held_change for line in payment.lines)
    if held != row.capturable:
        yield f"the books hold {held}, {row.capturable} can be captured"


def _moved(payment: _Payment, transaction: Transaction) -> int:
    """What a transaction has moved, as the ledger has it; positive left the account."""
    if transaction.status != "succeeded":
        return 0
    match transaction.type:
        case "charge":
            automatic = payment.row is not None and payment.row.method == "automatic"
            return transaction.amount if automatic else 0
        case "capture":
            return transaction.amount
        case "refund":
            return -transaction.amount
        case _:
            return 0


def _posted_otherwise(payment: _Payment) -> Iterator[str]:
    """What the books posted for each transaction, against the ledger."""
    owners = {attempt.key: attempt.transaction for attempt in payment.attempts}
    posted: Counter[str] = Counter()
    for line in payment.lines:
        posted[owners[line.key]] += line.entry.posted_change
    for name, transaction in payment.transactions.items():
        moved = _moved(payment, transaction)
        if posted[name] != moved:
            yield f"{name} moved {moved}, the books posted {posted[name]}"


def _named(wrong: dict[str, dict[str, list[str]]], kind: str) -> tuple[str, ...]:
    return tuple(name for name, found in wrong.items() if found[kind])


def _sayings(payment: _Payment) -> dict[str, str]:
    """What each witness says of a payment, shortly."""
    seen, row = payment.seen, payment.row
    told = Counter(f"{each.type} {each.status}" for each in payment.told)
    return {
        "payment": payment.name,
        "api": _joined([_shown(seen), *sorted(told)]),
        "ledger": _joined(
            [
                _shown(row),
                *(f"{each.type} {each.status}" for each in payment.transactions.values()),
            ]
        ),
        "network": _joined(
            [
                f"{line.entry.mti} {line.entry.response_code} {line.entry.posted_change:+d}"
                for line in payment.lines
            ]
        ),
    }


def _saying_of_stranger(line: Line) -> dict[str, str]:
    entry = line.entry
    return {
        "payment": f"{line.network} {entry.rrn}",
        "api": ABSENT,
        "ledger": ABSENT,
        "network": f"{entry.mti} {entry.response_code} {entry.posted_change:+d}",
    }


def _shown(row: Intent | Seen | None) -> str:
    if row is None:
        return ABSENT
    return f"{row.status} {row.captured}-{row.refunded}+{row.capturable}"


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(parts) or ABSENT
