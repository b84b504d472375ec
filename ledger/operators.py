"""What operators do, and how it is written down.

Operators change no payment. Each deed is one guarded function of the database that acts and audits
in the same transaction; their role may call those and write nothing else.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from chassis.masking import mask_text
from ledger.errors import LedgerError
from ledger.operator_limits import NOTE_CHARACTERS_MAX, OPERATOR_CHARACTERS_MAX

# What the guarded functions answer instead of doing something.
_REFUSALS: Final = {
    "not_waiting": "no such advice is waiting: it was acknowledged, or an operator resolved it",
    "not_manual": "the advice is still being repeated; only one in the manual queue is resolved",
    "not_refusable": "a reversal is never given up: it can be acknowledged only",
    "not_open": "no such exception is open",
    "not_refused": "the relay has found something else since; see turnout relay status",
    "moving": "one of the buckets is on its way to another shard; turnout shards status shows it",
    "not_elsewhere": "the buckets are all on that shard, or on their way to it",
    "no_endpoint": "there is no such endpoint; endpoints are on shard 0",
    "not_parked": "no such event is parked: it was taken in, or never put aside",
}


class OperatorAction(Struct, frozen=True):
    """What an operator did, when."""

    at_us: int
    operator: str
    action: str
    resolution: str
    note: str


class OperatorError(LedgerError):
    """What an operator asked for cannot be done; says why. Nothing was changed."""


def check_texts(operator: str, note: str) -> None:
    """Pass an operator's name and note.

    Raises:
        OperatorError: no name, one that cannot be printed, texts that are too long, or what looks
            like a card number: no table holds one in the clear (money.md I7).
    """
    if not 1 <= len(operator) <= OPERATOR_CHARACTERS_MAX or not operator.isprintable():
        raise OperatorError(f"an operator has a name of 1 to {OPERATOR_CHARACTERS_MAX} characters")
    if len(note) > NOTE_CHARACTERS_MAX:
        raise OperatorError(f"a note has at most {NOTE_CHARACTERS_MAX} characters")
    if mask_text(operator) != operator or mask_text(note) != note:
        raise OperatorError("name and note are kept for ever: leave out what may be a card number")


def check_answer(answer: str) -> None:
    """Pass the answer of a guarded function; raises OperatorError with the reason of a refusal."""
    if answer:
        raise OperatorError(_REFUSALS[answer])
