"""Payments as the API tells them, for tests of what is shown: one timeline per story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stack.payments import Payment
from turnout_client import PaymentIntent, TimelineEvent

STARTED_AT = datetime(2026, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)
INTENT = "pi_0000000000000000000001"
TRANSACTION = "txn_0000000000000000000001"
MESSAGE = {
    "network": "vsim",
    "mti": "0200",
    "stan": "000123",
    "rrn": "00253HVJ6Z4C",
    "de7": "0102030405",
}
MONEY = {"amountInCents": 2499, "currency": "usd"}
APPROVED = {"result": "approved", "responseCode": "00", "approvalCode": "321000"}
DECLINED = {
    "result": "declined",
    "responseCode": "05",
    "declineCode": "generic_decline",
    "advice": "use_other_card",
}
UNKNOWN = {"result": "unknown"}


def intent(status: str) -> PaymentIntent:
    """An intent of 24.99 USD in a status."""
    return PaymentIntent(
        id=INTENT,
        amount_in_cents=2499,
        currency="usd",
        description=None,
        status=status,
        capture_method="automatic",
        allow_partial_authorization=False,
        amount_capturable=0,
        amount_captured=0,
        amount_refunded=0,
        amount_disputed=0,
        capture_before=None,
        cancel_requested=False,
        client_secret=None,
        merchant_reference=None,
        metadata={},
        last_error=None,
        latest_transaction=None,
        version=1,
        created_at=STARTED_AT,
        updated_at=STARTED_AT,
    )


def payment(status: str, *steps: tuple[str, dict[str, Any]]) -> Payment:
    """A payment that was created, sent, and then went the steps given: (event type, data)."""
    told = [
        ("created", "api", None, MONEY),
        (
            "processing",
            "api",
            TRANSACTION,
            {"transactionType": "charge", **MESSAGE, **MONEY},
        ),
        *((kind, "switch", TRANSACTION, {**MESSAGE, **MONEY, **data}) for kind, data in steps),
    ]
    events = tuple(
        TimelineEvent(
            id=f"evt_{number}",
            sequence=number,
            type=f"payment_intent.{kind}",
            actor=actor,
            at=STARTED_AT + timedelta(milliseconds=750 * (number - 1)),
            transaction=transaction,
            data=data,
        )
        for number, (kind, actor, transaction, data) in enumerate(told, start=1)
    )
    return Payment(intent(status), events)


def approved() -> Payment:
    """Approved at once."""
    return payment("succeeded", ("succeeded", APPROVED))


def declined() -> Payment:
    """Declined at once."""
    return payment("failed", ("payment_failed", DECLINED))


def late() -> Payment:
    """Unknown first, approved later."""
    return payment("succeeded", ("pending_verification", UNKNOWN), ("succeeded", APPROVED))


def silent() -> Payment:
    """Unknown, and nothing after it."""
    return payment("pending_verification", ("pending_verification", UNKNOWN))
