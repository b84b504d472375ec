"""The states of a payment and the ways between them: plain tables, no I/O.

Theory of operation
-------------------
Three things have states. The **intent** is the one row that changes. A **transaction** is
insert-only: its status is the to-status of its latest outcome, `pending` before the first. An
**attempt** is insert-only too and has results: one in phase 1, and, only where that is `unknown`,
one more in phase 2 that resolves it.

The same tables stand in Postgres as CHECK constraints and as guards of the updates; a test reads
the constraints back and compares. Statuses are text on both sides, so that a row, a log line and
an API answer say the same word.

Reserved and in no table yet: `processing → requires_action → processing` (3-D Secure).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Transitions = MappingProxyType[str, frozenset[str]]


class LifecycleError(ValueError):
    """A step that no table knows: a fault of ours, never of a client."""


def _table(rows: dict[str, str]) -> Transitions:
    return MappingProxyType({state: frozenset(targets.split()) for state, targets in rows.items()})


INTENT_TRANSITIONS: Final = _table(
    {
        "created": "processing canceled",
        "processing": "succeeded authorized failed pending_verification canceled",
        "pending_verification": "succeeded authorized failed canceled",
        "authorized": "processing",  # a capture or a cancel is under way
        "failed": "processing canceled",  # a new transaction, or expiry
        "succeeded": "",  # refunds and disputes show in amounts
        "canceled": "",
    }
)

TRANSACTION_TRANSITIONS: Final = _table(
    {
        "pending": "succeeded failed pending_verification reversing",
        "pending_verification": "succeeded failed reversing",
        "reversing": "reversed",  # only on a final 0430 or an operator's resolution
        "succeeded": "",
        "failed": "",
        "reversed": "",
    }
)

INTENT_STATUSES: Final = tuple(INTENT_TRANSITIONS)
TRANSACTION_STATUSES: Final = tuple(TRANSACTION_TRANSITIONS)
TRANSACTION_TERMINAL: Final = frozenset(
    s for s, ways in TRANSACTION_TRANSITIONS.items() if not ways
)

TRANSACTION_TYPES: Final = (
    "charge",
    "capture",
    "cancel",
    "refund",
    "verification",
    "adjustment",
    "dispute",
)

# Phase 1 is the first result, phase 2 what an unknown turned out to be.
ATTEMPT_RESULTS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        1: ("approved", "partial", "declined", "not_sent", "unknown"),
        2: ("approved", "declined", "reversed", "manual"),
    }
)
# What a transaction must be when an outcome of that phase is written. First results come at any
# time: of a reversal while it is reversing, of a completion when it has succeeded.
PHASE_FROM: Final[Mapping[int, frozenset[str]]] = MappingProxyType(
    {1: frozenset(TRANSACTION_STATUSES), 2: frozenset({"pending_verification", "reversing"})}
)
# Where an outcome leads: along the table, or nowhere. The latter is a remark: an inquiry's own
# result, the acknowledgment of a completion, a declined attempt that another one follows.
OUTCOME_STEPS: Final[Transitions] = MappingProxyType(
    {status: ways | {status} for status, ways in TRANSACTION_TRANSITIONS.items()}
)
# The first results that leave a pending transaction pending: nothing moved, another attempt may.
PENDING_REMARKS: Final = frozenset({"declined", "not_sent"})

# What a message is to its transaction. `completion`: the 0220 behind an automatic charge on a
# dual-message network. `release`: the 0420 + DE 95 that gives back the rest of an authorization.
# Everything that asks for the transaction itself is its `request`, a canceling 0420 included.
ATTEMPT_KINDS: Final = ("request", "completion", "reversal", "release", "inquiry")
SAF_KINDS: Final = ("request", "completion", "reversal", "release")
# What an operator found out about a message that went to the manual queue.
SAF_RESOLUTIONS: Final = ("acknowledged", "refused")

# How final a decline is (iso8583 2.3): the rules on trying a card again go by it.
DECLINE_CLASSES: Final = ("hard", "soft", "data", "generic")

ADVICE_CODES: Final = ("retry_later", "use_other_card", "do_not_retry", "authenticate")

# The intent statuses that admit each operation; `live_transaction_id` is null in them, or must be.
ADMITS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "charge": frozenset({"created", "failed"}),
        "verification": frozenset({"created"}),
        "capture": frozenset({"authorized"}),
        "cancel": frozenset({"authorized"}),
        "refund": frozenset({"succeeded", "authorized"}),  # of what has been captured
    }
)
# Intents in these statuses become canceled when their time is over.
EXPIRES: Final = frozenset({"created", "failed"})

# The statuses in which the operation is still live: the intent's mutex stays taken.
INTENT_LIVE: Final = frozenset({"processing", "pending_verification"})

# Result of a charge with automatic capture → (transaction status, intent status).
# `partial` stands here for a merchant that opted in; without that it is `reversing`.
CHARGE_SETTLEMENTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "approved": ("succeeded", "succeeded"),
        "partial": ("succeeded", "succeeded"),
        "declined": ("failed", "failed"),
        "not_sent": ("failed", "failed"),
        "unknown": ("pending_verification", "pending_verification"),
    }
)


def check_transition(table: Transitions, from_status: str, to_status: str) -> None:
    """Pass a step of the table, refuse every other.

    Raises:
        LifecycleError: the table does not lead from the one to the other.
    """
    if to_status not in table.get(from_status, frozenset()):
        raise LifecycleError(f"no way leads from {from_status} to {to_status}")


def check_intent_transition(from_status: str, to_status: str) -> None:
    """Pass a step that an intent may take; raises LifecycleError otherwise."""
    check_transition(INTENT_TRANSITIONS, from_status, to_status)


def check_transaction_transition(from_status: str, to_status: str) -> None:
    """Pass a step that a transaction may take; raises LifecycleError otherwise."""
    check_transition(TRANSACTION_TRANSITIONS, from_status, to_status)


def check_outcome(phase: int, result: str, from_status: str, to_status: str) -> None:
    """Pass an outcome that a transaction may have: a step, or a remark that moves nothing.

    Raises:
        LifecycleError: the phase does not know the result or does not start there, or no way leads.
    """
    check_result(phase, result)
    if from_status not in PHASE_FROM[phase]:
        raise LifecycleError(f"phase {phase} does not start from {from_status}")
    check_transition(OUTCOME_STEPS, from_status, to_status)
    remark = from_status == to_status
    if remark and (phase == 2 or (from_status == "pending" and result not in PENDING_REMARKS)):
        raise LifecycleError(f"{result} does not leave a transaction {from_status}")


def check_result(phase: int, result: str) -> None:
    """Pass a result that the phase allows.

    Raises:
        LifecycleError: no such phase, or the phase does not know the result.
    """
    if result not in ATTEMPT_RESULTS.get(phase, ()):
        raise LifecycleError(f"phase {phase} has no result {result}")
