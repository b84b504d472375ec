"""Which versions of a payment are events, and of what type."""

from __future__ import annotations

import pytest

from ledger.lifecycle import INTENT_STATUSES
from ledger.webhooks.kinds import EVENT_TYPES, Told, kind_of, kind_of_status

PAID = Told("succeeded", 0)


def test_every_status_has_a_type() -> None:
    """And with the refunds these are all."""
    types = {kind_of_status(status) for status in INTENT_STATUSES}
    assert types < set(EVENT_TYPES)
    assert len(EVENT_TYPES) == len(INTENT_STATUSES) + 2


@pytest.mark.parametrize(
    ("before", "status", "refunded", "kind"),
    [
        (Told("created", 0), "processing", 0, "payment_intent.processing"),
        (Told("processing", 0), "failed", 0, "payment_intent.payment_failed"),
        (PAID, "succeeded", 0, ""),
        (PAID, "succeeded", 10, "payment_intent.partially_refunded"),
        (PAID, "succeeded", 100, "payment_intent.refunded"),
        (Told("succeeded", 40), "succeeded", 100, "payment_intent.refunded"),
        (Told("succeeded", 40), "succeeded", 40, ""),
        (Told("authorized", 0), "authorized", 100, "payment_intent.partially_refunded"),
    ],
)
def test_what_changed_gives_the_type(before: Told, status: str, refunded: int, kind: str) -> None:
    """A status first, then refunds; anything else is no event."""
    assert kind_of(before, status=status, refunded_minor=refunded, captured_minor=100) == kind
