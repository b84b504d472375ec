"""Which changes of a payment merchants hear of, and as what. Pure.

An event is told where a version of a payment intent differs from what was told last in what a
merchant acts on: its status, or how much of it was refunded. Other versions (a refund that was
begun, a reversal that was sent) are told when they come to something. The names are those of a
payment's timeline (`ledger.timeline`), and so are the ids.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.timeline import EVENT_TYPES as TYPES_BY_STATUS

PARTIALLY_REFUNDED: Final = "payment_intent.partially_refunded"
REFUNDED: Final = "payment_intent.refunded"
EVENT_TYPES: Final = (*TYPES_BY_STATUS.values(), PARTIALLY_REFUNDED, REFUNDED)
FIRST_VERSION: Final = 1


def kind_of_status(status: str) -> str:
    """The type of the event that a payment came to a status."""
    return TYPES_BY_STATUS[status]


class Told(Struct, frozen=True, gc=False):
    """What was told last of a payment."""

    status: str
    refunded_minor: int


def kind_of(before: Told, *, status: str, refunded_minor: int, captured_minor: int) -> str:
    """The type of the event that a version is, or an empty string.

    Args:
        before: what was told last.
        status: of the intent in this version.
        refunded_minor: likewise.
        captured_minor: likewise.
    """
    if status != before.status:
        return kind_of_status(status)
    if refunded_minor > before.refunded_minor:
        # While more may be captured, what is whole today would be a part tomorrow.
        whole = status == "succeeded" and refunded_minor >= captured_minor
        return REFUNDED if whole else PARTIALLY_REFUNDED
    return ""
