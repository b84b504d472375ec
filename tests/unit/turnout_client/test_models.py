"""Answers as records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.client_answers import EVENT, INTENT, TRANSACTION
from turnout_client import UnexpectedAnswerError
from turnout_client.models import (
    FINAL_STATUSES,
    FINAL_TRANSACTION_STATUSES,
    Balance,
    PaymentIntent,
    PaymentIntentPage,
    TimelineEvent,
    Transaction,
)


def test_an_intent_is_read_whole() -> None:
    """Members, nested records and instants."""
    intent = PaymentIntent.from_json(INTENT)
    assert (intent.amount_in_cents, intent.currency, intent.version) == (2499, "usd", 3)
    assert intent.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert intent.latest_transaction == Transaction.from_json(TRANSACTION)
    assert (intent.client_secret, intent.last_error) == (None, None)


def test_a_declined_intent_says_why() -> None:
    """`lastError` and the transaction's own words."""
    error = {
        "code": "card_declined",
        "declineCode": "insufficient_funds",
        "advice": "retry_later",
        "detail": "The account does not hold enough money.",
    }
    intent = PaymentIntent.from_json({**INTENT, "status": "failed", "lastError": error})
    assert intent.last_error is not None
    assert (intent.last_error.decline_code, intent.last_error.advice) == (
        "insufficient_funds",
        "retry_later",
    )


@pytest.mark.parametrize(
    "status",
    [
        "created",
        "processing",
        "authorized",
        "pending_verification",
        "succeeded",
        "failed",
        "canceled",
    ],
)
def test_which_statuses_are_final(status: str) -> None:
    """Four of seven."""
    intent = PaymentIntent.from_json({**INTENT, "status": status})
    assert intent.is_final == (status in FINAL_STATUSES)
    assert intent.is_final == (status not in {"created", "processing", "pending_verification"})


@pytest.mark.parametrize(
    "status",
    ["pending", "succeeded", "failed", "pending_verification", "reversing", "reversed"],
)
def test_an_intent_is_as_final_as_its_latest_transaction(status: str) -> None:
    """A refund may be under way while the intent is succeeded."""
    latest = {**TRANSACTION, "type": "refund", "status": status}
    intent = PaymentIntent.from_json({**INTENT, "latestTransaction": latest})
    assert intent.is_final == (status in FINAL_TRANSACTION_STATUSES)
    assert intent.is_final == (status in {"succeeded", "failed", "reversed"})


def test_an_authorization_says_until_when() -> None:
    """And what remains of it, and that nothing is to be captured of others."""
    assert PaymentIntent.from_json(INTENT).capture_before is None
    held = {
        **INTENT,
        "captureMethod": "manual",
        "amountCapturable": 2000,
        "captureBefore": "2026-01-09T03:04:05Z",
        "allowPartialAuthorization": True,
        "cancelRequested": True,
    }
    intent = PaymentIntent.from_json(held)
    assert (intent.capture_method, intent.amount_capturable) == ("manual", 2000)
    assert intent.capture_before == datetime(2026, 1, 9, 3, 4, 5, tzinfo=UTC)
    assert (intent.allow_partial_authorization, intent.cancel_requested) == (True, True)


def test_an_intent_does_not_show_its_client_secret() -> None:
    """Whoever holds it may charge the intent."""
    intent = PaymentIntent.from_json({**INTENT, "clientSecret": "pi_x_secret_y"})
    assert intent.client_secret == "pi_x_secret_y"
    assert "secret" not in repr(intent)


def test_a_transaction_is_read_whole() -> None:
    """The card is what may be shown of it."""
    transaction = Transaction.from_json(TRANSACTION)
    assert transaction.card is not None
    assert (transaction.card.brand, transaction.card.last4) == ("visa", "4242")
    assert transaction.created_at.microsecond == 123_456


def test_a_page_and_a_timeline_are_read_in_order() -> None:
    """Cursor and events as the server sent them."""
    page = PaymentIntentPage.from_json({"data": [INTENT, INTENT], "nextCursor": "abc"})
    assert (len(page.intents), page.next_cursor) == (2, "abc")
    assert PaymentIntentPage.from_json({"data": [], "nextCursor": None}).next_cursor is None
    events = TimelineEvent.list_from_json({"data": [EVENT, {**EVENT, "sequence": 2}]})
    assert [event.sequence for event in events] == [1, 2]


def test_balances_are_read_by_currency() -> None:
    """Each account where its name says; a member that is missing is named."""
    names = ("Pending", "Available", "Reserved", "Disputed", "InTransit", "Owed", "Held")
    amounts = {f"amount{name}": number for number, name in enumerate(names, start=1)}
    [found] = Balance.list_from_json({"data": [{"currency": "usd", **amounts}]})
    expected = (found.amount_pending, found.amount_available, found.amount_reserved)
    expected += (found.amount_disputed, found.amount_in_transit, found.amount_owed)
    assert (found.currency, *expected, found.amount_held) == ("usd", 1, 2, 3, 4, 5, 6, 7)
    del amounts["amountOwed"]
    with pytest.raises(UnexpectedAnswerError, match="amountOwed"):
        Balance.list_from_json({"data": [{"currency": "usd", **amounts}]})


def test_unknown_members_are_ignored() -> None:
    """A newer server does not break this client."""
    assert Transaction.from_json({**TRANSACTION, "color": "blue"}) == Transaction.from_json(
        TRANSACTION
    )


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", None),
        ("status", 7),
        ("amountInCents", "2499"),
        ("amountInCents", True),
        ("amountInCents", 24.99),
        ("createdAt", "yesterday"),
        ("createdAt", "2026-01-02T03:04:05"),
        ("card", []),
        ("card", {"brand": "visa"}),
        ("declineCode", 51),
    ],
)
def test_an_unexpected_member_is_an_error_that_names_it(member: str, value: Any) -> None:
    """Never a wrong amount, never a record with holes."""
    name = "last4" if value == {"brand": "visa"} else member
    with pytest.raises(UnexpectedAnswerError, match=f"^{name}: "):
        Transaction.from_json({**TRANSACTION, member: value})


def test_a_missing_member_is_an_error() -> None:
    """As a wrong one is."""
    del (without := dict(INTENT))["metadata"]
    with pytest.raises(UnexpectedAnswerError, match="metadata: is missing"):
        PaymentIntent.from_json(without)


def test_a_list_of_something_else_is_an_error() -> None:
    """Its entries must be objects."""
    with pytest.raises(UnexpectedAnswerError, match="id: is missing"):
        PaymentIntentPage.from_json({"data": ["pi_1"], "nextCursor": None})
