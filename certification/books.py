"""What a payment's postings must be once nothing of it is under way (money.md I9). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from certification.witnesses import Booked, Movement

# What a kind of transaction books; other kinds of posting follow from these.
CAPTURE: Final = "capture"
HOLD: Final = "hold"
REFUND: Final = "refund"
POSTED: Final = "hold_posted"
RELEASED: Final = "hold_released"


def _moved(movement: Movement) -> str:
    """The kind of posting that a movement of money must have; empty where none moved."""
    if movement.status != "succeeded":
        return ""
    match movement.type:
        case "charge":
            return CAPTURE if movement.capture_method == "automatic" else HOLD
        case "capture":
            return CAPTURE
        case "refund":
            return REFUND
        case _:
            return ""


def books_agree(movements: Sequence[Movement], postings: Sequence[Booked]) -> Iterator[str]:
    """I9: each movement is booked once and in full, and of a hold posted and released are all."""
    sums: Counter[tuple[str, str]] = Counter()
    holds: Counter[str] = Counter()
    for posting in postings:
        kind = REFUND if posting.kind.startswith(REFUND) else posting.kind
        sums[posting.transaction, kind] += posting.amount_minor
        sign = {HOLD: 1, POSTED: -1, RELEASED: -1}.get(kind, 0)
        holds[posting.intent] += sign * posting.amount_minor
    for movement in movements:
        expected = _moved(movement)
        for kind in (CAPTURE, HOLD, REFUND):
            amount = movement.amount_minor if kind == expected else 0
            if sums[movement.transaction, kind] != amount:
                found = sums[movement.transaction, kind]
                yield f"{movement.transaction} moved {amount}, and {kind} {found} is booked"
    for intent, capturable in {m.intent: m.capturable_minor for m in movements}.items():
        if holds[intent] != capturable:
            yield f"{intent}: {capturable} can be captured, and the books hold {holds[intent]}"
