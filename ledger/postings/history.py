"""A payment's history, and what it adds up to: every status and amount computed anew. Pure.

Theory of operation
-------------------
The intent's row is changed by the commits; what those commits knew stands in insert-only rows
beside it. Here the same result is reached the long way, from the outcomes alone, by code that
shares nothing with the commits but the words of `ledger.lifecycle`. Where both agree, neither was
wrong, and nobody has changed either.

A transaction is `reversing` in two ways: an outcome says so, or a reversal was recorded and has no
outcome yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from ledger.lifecycle import TRANSACTION_TERMINAL, TRANSACTION_TRANSITIONS

OPERATIONS: Final = frozenset({"charge", "capture", "cancel"})  # that take the intent's mutex


class IntentFact(Struct, frozen=True):
    """The intent's row."""

    intent_id: bytes
    merchant_id: bytes
    live_transaction_id: bytes | None
    amount_minor: int
    capturable_minor: int
    captured_minor: int
    refund_pending_minor: int
    refunded_minor: int
    version: int
    live: bool
    cancel_requested: bool
    currency: str
    status: str
    capture_method: str


class TransactionFact(Struct, frozen=True):
    """One transaction's row."""

    intent_id: bytes
    transaction_id: bytes
    type: str
    amount_minor: int
    final_capture: bool | None


class AttemptFact(Struct, frozen=True):
    """One attempt, and whether store-and-forward has it."""

    intent_id: bytes
    attempt_id: bytes
    transaction_id: bytes
    kind: str
    network: str
    rrn: str
    queued: bool


class OutcomeFact(Struct, frozen=True):
    """One outcome."""

    intent_id: bytes
    attempt_id: bytes
    transaction_id: bytes
    phase: int
    result: str
    from_status: str
    to_status: str
    intent_version: int
    approved_minor: int | None
    at_us: int

    @property
    def moves(self) -> bool:
        """Whether its transaction is another one after it."""
        return self.from_status != self.to_status


class PostingFact(Struct, frozen=True):
    """One posting."""

    intent_id: bytes
    transaction_id: bytes
    kind: str
    amount_minor: int
    debit_account: bytes
    credit_account: bytes
    currency: str
    live: bool


class History(Struct, frozen=True):
    """Everything that one snapshot has of a payment."""

    intent: IntentFact
    transactions: Sequence[TransactionFact]
    attempts: Sequence[AttemptFact]
    outcomes: Sequence[OutcomeFact]
    postings: Sequence[PostingFact] = ()


class State(Struct, frozen=True):
    """Where a transaction stands by its outcomes.

    Attributes:
        transaction: whose.
        status: of lifecycle.TRANSACTION_STATUSES.
        amount_minor: what it moved, where it succeeded.
        ended_version: of the intent when it ended; 0 while it has not.
        ended_at_us: when.
        ended_by: the attempts whose outcomes ended it.
        breaks: why its outcomes do not follow from each other; empty where they do.
    """

    transaction: TransactionFact
    status: str
    amount_minor: int
    ended_version: int
    ended_at_us: int
    ended_by: frozenset[bytes]
    breaks: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in TRANSACTION_TERMINAL


class Amounts(Struct, frozen=True):
    """What the intent's row should say."""

    capturable_minor: int
    captured_minor: int
    refund_pending_minor: int
    refunded_minor: int


def states(history: History) -> list[State]:
    """Where each transaction stands."""
    return [_state(history, transaction) for transaction in history.transactions]


def amounts(history: History, found: Sequence[State]) -> Amounts:
    """What was captured and refunded, by the transactions that succeeded."""
    automatic = history.intent.capture_method == "automatic"
    held = 0 if automatic else sum(_succeeded(found, "charge"))
    captures = sum(_succeeded(found, "capture"))
    captured = captures + (sum(_succeeded(found, "charge")) if automatic else 0)
    running = (
        state.transaction.amount_minor
        for state in found
        if state.transaction.type == "refund" and not state.is_over
    )
    return Amounts(
        capturable_minor=0 if _closed(found) else held - captures,
        captured_minor=captured,
        refund_pending_minor=sum(running),
        refunded_minor=sum(_succeeded(found, "refund")),
    )


def intent_statuses(history: History, found: Sequence[State]) -> frozenset[str]:
    """What the intent's status may be: one word, or two where `canceled` needs no transaction."""
    if operation := live_operation(history, found):
        word = "processing" if operation.status == "pending" else "pending_verification"
        return frozenset({word})
    sums = amounts(history, found)
    if any(True for _ in _succeeded(found, "charge")):
        if sums.capturable_minor:
            return frozenset({"authorized"})
        return frozenset({"succeeded" if sums.captured_minor else "canceled"})
    if any(True for _ in _succeeded(found, "cancel")):
        return frozenset({"canceled"})
    charged = any(state.transaction.type == "charge" for state in found)
    return frozenset({"failed" if charged else "created", "canceled"})


def live_operations(history: History, found: Sequence[State]) -> list[State]:
    """Operations that have not ended; a cancel that waits for the end of a doubt is none."""
    return [
        state
        for state in found
        if state.transaction.type in OPERATIONS
        and not state.is_over
        and not (state.transaction.type == "cancel" and history.intent.cancel_requested)
    ]


def live_operation(history: History, found: Sequence[State]) -> State | None:
    """The one that is under way, if one is."""
    return next(iter(live_operations(history, found)), None)


def _succeeded(found: Sequence[State], type_: str) -> Iterator[int]:
    return (
        state.amount_minor
        for state in found
        if state.transaction.type == type_ and state.status == "succeeded"
    )


def _closed(found: Sequence[State]) -> bool:
    """Whether nothing more can be captured: a final capture or a cancel has succeeded."""
    return any(
        state.status == "succeeded"
        and (
            state.transaction.type == "cancel"
            or (state.transaction.type == "capture" and bool(state.transaction.final_capture))
        )
        for state in found
    )


def _state(history: History, transaction: TransactionFact) -> State:
    outcomes = [o for o in history.outcomes if o.transaction_id == transaction.transaction_id]
    reversals = {
        attempt.attempt_id
        for attempt in history.attempts
        if attempt.transaction_id == transaction.transaction_id and attempt.kind == "reversal"
    }
    moves = sorted((o for o in outcomes if o.moves), key=lambda o: o.intent_version)
    status, breaks, step = "pending", "", ("", "", 0)
    for move in moves:
        this = (move.from_status, move.to_status, move.intent_version)
        if this == step:  # one commit ends a doubt and the attempt that resolved it
            continue
        begun = move.from_status == "reversing" and bool(reversals)
        if move.from_status != status and not (begun and status not in TRANSACTION_TERMINAL):
            breaks = breaks or f"{move.from_status} follows {status}"
        if move.to_status not in TRANSACTION_TRANSITIONS.get(move.from_status, ()):
            breaks = breaks or f"{move.to_status} follows {move.from_status}"
        status, step = move.to_status, this
    answered = {o.attempt_id for o in outcomes}
    last = [o for o in moves if (o.from_status, o.to_status, o.intent_version) == step]
    over = status in TRANSACTION_TERMINAL
    if not over and reversals - answered:
        status = "reversing"
    approved = next((o.approved_minor for o in last if o.approved_minor), None)
    return State(
        transaction=transaction,
        status=status,
        amount_minor=approved or transaction.amount_minor,
        ended_version=step[2] if over else 0,
        ended_at_us=max((o.at_us for o in last), default=0) if over else 0,
        ended_by=frozenset(o.attempt_id for o in last) if over else frozenset(),
        breaks=breaks,
    )
