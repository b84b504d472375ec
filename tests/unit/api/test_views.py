"""Rows and replies as resources."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import views
from ledger.records import IntentRow, TimelineEvent, TransactionRow
from switch.wire import TransactionState

AT_US = 1_767_323_045_000_001
PUBLIC = "pi_" + "0" * 22


def transaction_row(**changes: Any) -> TransactionRow:
    """An approved charge."""
    fields: dict[str, Any] = {
        "transaction_id": bytes(16),
        "intent_id": bytes(16),
        "type": "charge",
        "status": "succeeded",
        "amount_minor": 500,
        "currency": "jpy",
        "response_code": "00",
        "approval_code": "A1B2C3",
        "decline_code": "",
        "advice": "",
        "card_brand": "visa",
        "card_last4": "4242",
        "card_exp_month": 12,
        "card_exp_year": 2030,
        "created_at_us": AT_US,
        "updated_at_us": AT_US,
    }
    return TransactionRow(**fields | changes)


def intent_row(**changes: Any) -> IntentRow:
    """A fresh intent."""
    fields: dict[str, Any] = {
        "intent_id": bytes(16),
        "merchant_id": bytes(16),
        "live": False,
        "amount_minor": 500,
        "currency": "jpy",
        "status": "created",
        "capture_method": "automatic",
        "allow_partial": False,
        "capturable_minor": 0,
        "captured_minor": 0,
        "refunded_minor": 0,
        "disputed_minor": 0,
        "cancel_requested": False,
        "capture_before_us": None,
        "version": 1,
        "created_at_us": AT_US,
        "updated_at_us": AT_US,
        "client_secret_hash": bytes(32),
        "description": None,
        "metadata": None,
        "merchant_reference": None,
        "latest_transaction": None,
    }
    return IntentRow(**fields | changes)


def shown(resource: Any) -> dict[str, Any]:
    """A resource as its JSON."""
    document: dict[str, Any] = json.loads(msgspec.json.encode(resource))
    return document


def test_instants_are_exact_to_the_microsecond() -> None:
    """The ledger's instant stands in the answer."""
    assert views.instant(AT_US) == datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=UTC)
    assert (
        shown(views.payment_intent(intent_row(), PUBLIC))["createdAt"]
        == "2026-01-02T03:04:05.000001Z"
    )


@given(st.integers(0, 2**33 * 1_000_000 - 1))
def test_instants_are_exact_until_2242(at_us: int) -> None:
    """As integers would have it, for every microsecond that a payment can have."""
    assert views.instant(at_us) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, 0, at_us)


def test_the_client_secret_shows_only_when_it_is_given() -> None:
    """Reading an intent has no such member at all."""
    assert "clientSecret" not in shown(views.payment_intent(intent_row(), PUBLIC))
    assert shown(views.payment_intent(intent_row(), PUBLIC, "s"))["clientSecret"] == "s"


def test_metadata_is_what_was_sent() -> None:
    """JSON in the ledger, an object outside; nothing is an empty one."""
    row = intent_row(metadata='{"a":"ü"}'.encode())
    assert shown(views.payment_intent(row, PUBLIC))["metadata"] == {"a": "ü"}
    assert shown(views.payment_intent(intent_row(), PUBLIC))["metadata"] == {}


def test_the_latest_transaction_is_shown_whole() -> None:
    """With the intent's own id."""
    intent = shown(views.payment_intent(intent_row(latest_transaction=transaction_row()), PUBLIC))
    transaction = intent["latestTransaction"]
    assert transaction["paymentIntent"] == intent["id"]
    assert transaction["card"] == {
        "brand": "visa",
        "last4": "4242",
        "expMonth": 12,
        "expYear": 2030,
    }
    assert (transaction["declineCode"], transaction["advice"]) == (None, None)
    assert transaction["finalCapture"] is None
    assert intent["lastError"] is None


def test_a_row_is_as_the_switch_would_tell_it() -> None:
    """The views make one of the other by position; only the names of instants differ."""
    row_fields = [name.removesuffix("_us") for name in TransactionRow.__struct_fields__]
    assert row_fields == list(TransactionState.__struct_fields__)


def test_a_capture_says_whether_it_was_the_last() -> None:
    """Only captures have an opinion about it."""
    row = intent_row(latest_transaction=transaction_row(type="capture", final_capture=True))
    assert shown(views.payment_intent(row, PUBLIC))["latestTransaction"]["finalCapture"] is True


@pytest.mark.parametrize(
    ("changes", "code", "decline_code"),
    [
        (
            {"status": "failed", "response_code": "51", "decline_code": "insufficient_funds"},
            "card_declined",
            "insufficient_funds",
        ),
        (
            {"status": "failed", "response_code": "", "decline_code": "network_unavailable"},
            "processing_error",
            "network_unavailable",
        ),
        ({"status": "reversed"}, "payment_reversed", None),
        (
            {"status": "reversed", "decline_code": "not_confirmed"},
            "payment_reversed",
            "not_confirmed",
        ),
        (
            {"status": "reversed", "response_code": "10", "decline_code": "partial_not_accepted"},
            "card_declined",
            "partial_not_accepted",
        ),
        ({"type": "refund", "status": "reversed"}, "refund_reversed", None),
        (
            {"type": "refund", "status": "failed", "decline_code": "generic_decline"},
            "operation_refused",
            "generic_decline",
        ),
        ({"type": "capture", "status": "failed"}, "operation_refused", None),
        ({"type": "verification", "status": "failed"}, "card_declined", None),
        (
            {"type": "capture", "status": "failed", "response_code": ""},
            "processing_error",
            None,
        ),
    ],
)
def test_the_last_error_says_why(
    changes: dict[str, Any], code: str, decline_code: str | None
) -> None:
    """A decline, a message that never left and a reversal are told apart, by what it was."""
    error = views.last_error(transaction_row(**changes))
    assert error is not None
    assert (error.code, error.decline_code) == (code, decline_code)
    assert error.detail


@pytest.mark.parametrize("status", ["pending", "pending_verification", "reversing", "succeeded"])
def test_what_may_still_succeed_is_no_error(status: str) -> None:
    """UNKNOWN is never told as declined."""
    assert views.last_error(transaction_row(status=status)) is None
    assert views.last_error(None) is None


def test_the_reduced_view_holds_nothing_of_the_merchants() -> None:
    """Reference, metadata, amounts behind the scenes and card stay inside."""
    row = intent_row(merchant_reference="r", metadata=b"{}", latest_transaction=transaction_row())
    assert list(shown(views.reduced_payment_intent(row, PUBLIC))) == [
        "id",
        "amountInCents",
        "currency",
        "description",
        "status",
        "lastError",
    ]


@pytest.mark.parametrize(
    ("type_", "seen"), [("charge", True), ("refund", False), ("cancel", False)]
)
def test_a_browser_hears_of_its_own_charges_alone(type_: str, *, seen: bool) -> None:
    """That a refund was refused is between the merchant and the network."""
    failed = transaction_row(type=type_, status="failed", decline_code="generic_decline")
    row = intent_row(latest_transaction=failed)
    assert (views.reduced_payment_intent(row, PUBLIC).last_error is not None) is seen
    assert views.payment_intent(row, PUBLIC).last_error is not None


def test_timeline_events_speak_the_apis_names() -> None:
    """What the ledger knows comes out in camelCase."""
    event = TimelineEvent(
        id=bytes(16),
        sequence=2,
        type="payment_intent.succeeded",
        actor="network:vsim",
        at_us=AT_US,
        transaction_id=bytes(16),
        data={"amount_minor": 500, "response_code": "00", "stan": "000001"},
    )
    document = shown(views.timeline_event(event))
    assert document["data"] == {"amountInCents": 500, "responseCode": "00", "stan": "000001"}
    assert document["transaction"] == "txn_" + "0" * 22
