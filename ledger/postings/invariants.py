"""The invariants of money that one payment's rows can show, I2 to I5 and I9. Pure.

I1 and I7 show on the wire and in files, I6 against the networks, I8 over all payments: other
proofs hold those (certification, chaos, the audit log).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from ledger.postings.accounts import KINDS, Parties
from ledger.postings.history import (
    History,
    State,
    amounts,
    intent_statuses,
    live_operations,
    states,
)
from ledger.postings.money_events import Authorized, Canceled, Captured, Event, Refunded, Sold
from ledger.postings.rules import Books, FeeSchedule, RuleError, book

_KEPT: Final = frozenset({"reversal", "release"})  # kinds of attempt that are never dropped
# Kinds that split one amount by where it is taken from, which depends on other payments.
_SPLIT: Final = {"refund_available": "refund", "refund_owed": "refund"}
_FREE: Final = FeeSchedule()
_MONEY: Final = frozenset({"charge", "capture", "cancel", "refund"})

Sums = Mapping[tuple[bytes, str], int]  # transaction and kind → minor units


class Violation(Struct, frozen=True):
    """Something that must not be.

    Attributes:
        invariant: I2 to I9 of the specification of money.
        rule: which part of it, one word or two.
        expected: what the history says.
        found: what stands there.
        transaction_id: where it is one's.
    """

    invariant: str
    rule: str
    expected: str = ""
    found: str = ""
    transaction_id: bytes | None = None


class Verdict(Struct, frozen=True):
    """What a payment's rows show.

    Attributes:
        violations: told at once.
        unbooked_since_us: since when a transaction that moved money has no postings; None where all
            have. That is no violation yet: booking comes after the payment.
    """

    violations: tuple[Violation, ...]
    unbooked_since_us: int | None


def judge(history: History) -> Verdict:
    """Hold a payment to its history."""
    found = states(history)
    violations = [*_ends(history, found), *_mutex(history, found), *_reversals(history, found)]
    violations += _intent(history, found)
    try:
        expected = _expected_postings(history, found)
    except RuleError as error:
        violations.append(Violation("I9", "rules", "an admitted event", str(error)))
        return Verdict(tuple(violations), None)
    booked = {posting.transaction_id for posting in history.postings}
    violations += _postings(history, expected, booked)
    unbooked = [
        state.ended_at_us
        for state in found
        if state.transaction.transaction_id in {one for one, _ in expected}
        and state.transaction.transaction_id not in booked
    ]
    return Verdict(tuple(violations), min(unbooked, default=None))


def _ends(history: History, found: Sequence[State]) -> Iterator[Violation]:
    """I2: outcomes follow from each other, and only an unknown is resolved."""
    for state in found:
        if state.breaks:
            id_ = state.transaction.transaction_id
            yield Violation("I2", "steps", "", state.breaks, id_)
    first = {o.attempt_id: o.result for o in history.outcomes if o.phase == 1}
    for outcome in history.outcomes:
        if outcome.phase == 2 and first.get(outcome.attempt_id) != "unknown":
            result = first.get(outcome.attempt_id, "none")
            yield Violation("I2", "resolution", "unknown", result, outcome.transaction_id)


def _mutex(history: History, found: Sequence[State]) -> Iterator[Violation]:
    """I3: at most one operation under way, and the intent knows which."""
    operations = live_operations(history, found)
    if len(operations) > 1:
        yield Violation("I3", "operations", "1", str(len(operations)))
    live = {state.transaction.transaction_id for state in operations}
    live |= {
        state.transaction.transaction_id
        for state in found
        if state.transaction.type == "verification" and not state.is_over
    }
    held = history.intent.live_transaction_id
    if (held is None) is bool(live) or (held is not None and held not in live):
        yield Violation("I3", "mutex", "taken" if live else "free", "taken" if held else "free")
    charged = sum(s.transaction.type == "charge" and s.status == "succeeded" for s in found)
    if charged > 1:
        yield Violation("I3", "charges", "1", str(charged))


def _reversals(history: History, found: Sequence[State]) -> Iterator[Violation]:
    """I4 and I5: nothing that succeeded is reversed, and no reversal is dropped."""
    rrns = {attempt.attempt_id: attempt.rrn for attempt in history.attempts}
    answered = {outcome.attempt_id for outcome in history.outcomes}
    reversed_ = {
        (attempt.transaction_id, attempt.rrn)
        for attempt in history.attempts
        if attempt.kind == "reversal"
    }
    for state in found:
        id_ = state.transaction.transaction_id
        if state.status == "succeeded" and any(
            (id_, rrns.get(attempt_id)) in reversed_ for attempt_id in state.ended_by
        ):
            yield Violation("I4", "reversal", "none", "reversed", id_)
    for attempt in history.attempts:
        if attempt.kind in _KEPT and not attempt.queued and attempt.attempt_id not in answered:
            yield Violation("I5", "advice", "queued", "dropped", attempt.transaction_id)


def _intent(history: History, found: Sequence[State]) -> Iterator[Violation]:
    """Status and amounts of the intent's row, recomputed."""
    statuses = intent_statuses(history, found)
    if history.intent.status not in statuses:
        yield Violation("I2", "status", " or ".join(sorted(statuses)), history.intent.status)
    sums = amounts(history, found)
    for name in sums.__struct_fields__:
        expected, stands = getattr(sums, name), getattr(history.intent, name)
        if expected != stands:
            yield Violation("I9", name, str(expected), str(stands))


def _expected_postings(history: History, found: Sequence[State]) -> Sums:
    """What the rules book for every success, in the order of their commits; no fees.

    Raises:
        RuleError: the history has an event that the books before it do not admit.
    """
    books, expected = Books(), dict[tuple[bytes, str], int]()
    over = [s for s in found if s.status == "succeeded" and s.transaction.type in _MONEY]
    for state in sorted(over, key=lambda one: one.ended_version):
        transfers = book(books, _event(history, state), _FREE)
        books = books.after(transfers)
        for transfer in transfers:
            kind = _SPLIT.get(transfer.kind, transfer.kind)
            key = (state.transaction.transaction_id, kind)
            expected[key] = expected.get(key, 0) + transfer.amount_minor
    return expected


def _event(history: History, state: State) -> Event:
    transaction = state.transaction
    match transaction.type:
        case "charge" if history.intent.capture_method == "automatic":
            return Sold(state.amount_minor)
        case "charge":
            return Authorized(state.amount_minor)
        case "capture":
            return Captured(state.amount_minor, final=bool(transaction.final_capture))
        case "cancel":
            return Canceled()
        case _:
            return Refunded(state.amount_minor)


def _postings(history: History, expected: Sums, booked: set[bytes]) -> Iterator[Violation]:
    """I9: what was booked is what the rules book, between the right accounts."""
    networks = {attempt.transaction_id: attempt.network for attempt in history.attempts}
    intent = history.intent
    sums: Counter[tuple[bytes, str]] = Counter()
    fees = captured = 0
    for posting in history.postings:
        id_, kind = posting.transaction_id, posting.kind
        sums[id_, _SPLIT.get(kind, kind)] += posting.amount_minor
        fees += posting.amount_minor * (kind == "fee")
        captured += posting.amount_minor * (kind == "capture")
        parties = Parties(intent.merchant_id, intent.live, networks.get(id_, ""), intent.currency)
        sides = tuple(parties.account(purpose).id for purpose in KINDS[kind])
        if (posting.debit_account, posting.credit_account) != sides:
            yield Violation("I9", "accounts", kind, "others", id_)
        if (posting.currency, posting.live) != (intent.currency, intent.live):
            yield Violation("I9", "currency", intent.currency, posting.currency, id_)
    if fees > captured:
        yield Violation("I9", "fees", f"at most {captured}", str(fees))
    for id_, kind in sorted({*expected, *sums}):
        wanted, stands = expected.get((id_, kind), 0), sums[id_, kind]
        if wanted != stands and id_ in booked and kind != "fee":
            yield Violation("I9", f"posting {kind}", str(wanted), str(stands), id_)
