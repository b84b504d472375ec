"""Payments as the API tells them, for tests of what is shown: one timeline per story."""

from __future__ import annotations

from dataclasses import replace
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
CHARGE = {"transactionType": "charge", "kind": "request", **MESSAGE, **MONEY}
APPROVED = {
    "transactionStatus": "succeeded",
    "result": "approved",
    "responseCode": "00",
    "approvalCode": "321000",
}
DECLINED = {
    "transactionStatus": "failed",
    "result": "declined",
    "responseCode": "05",
    "declineCode": "generic_decline",
    "advice": "use_other_card",
}
DOUBTED = {"transactionStatus": "pending_verification"}
UNKNOWN = {**DOUBTED, "result": "unknown"}
INQUIRY = {"kind": "inquiry", "mti": "0600"}
REVERSAL = {"kind": "reversal", "mti": "0420", "stan": "000130"}


def intent(status: str, **changes: Any) -> PaymentIntent:
    """An intent of 24.99 USD in a status."""
    fresh = PaymentIntent(
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
    return replace(fresh, **changes)


def payment(
    status: str, *steps: tuple[str, dict[str, Any]], mti: str = "0200", **changes: Any
) -> Payment:
    """A payment that was created, sent, and then went the steps given: (event type, data).

    A type without a dot is a status of the intent; data is what differs from the charge's own,
    `transaction` among it, and `at_once` of what was learnt from the event before. `changes` are of
    the intent.
    """
    charge = CHARGE | {"mti": mti}
    told: list[tuple[str, str, str | None, dict[str, Any]]] = [
        ("created", "api", None, MONEY),
        ("processing", "api", TRANSACTION, charge | {"transactionStatus": "pending"}),
        *(
            (kind, "switch", str(data.get("transaction", TRANSACTION)), charge | data)
            for kind, data in steps
        ),
    ]
    events: list[TimelineEvent] = []
    for number, (kind, actor, transaction, data) in enumerate(told, start=1):
        at_once = bool(data.get("at_once"))
        at = STARTED_AT + timedelta(milliseconds=750 * (number - 1))
        events.append(
            TimelineEvent(
                id=f"evt_{number}",
                sequence=number,
                type=kind if "." in kind else f"payment_intent.{kind}",
                actor=actor,
                at=events[-1].at if at_once else at,
                transaction=transaction,
                data=data,
            )
        )
    return Payment(intent(status, **changes), tuple(events))


def approved() -> Payment:
    """Approved at once."""
    return payment("succeeded", ("succeeded", APPROVED))


def declined() -> Payment:
    """Declined at once."""
    return payment("failed", ("payment_failed", DECLINED))


def late() -> Payment:
    """Unknown first, approved later."""
    return payment("succeeded", ("pending_verification", UNKNOWN), ("succeeded", APPROVED))


def verified() -> Payment:
    """Unknown first; the second inquiry said that it had been approved."""
    asked = [INQUIRY | {"stan": stan} for stan in ("000124", "000125")]
    return payment(
        "succeeded",
        ("pending_verification", UNKNOWN),
        ("attempt.started", asked[0] | DOUBTED),
        ("attempt.ended", asked[0] | UNKNOWN | {"responseCode": "25"}),
        ("attempt.started", asked[1] | DOUBTED),
        ("attempt.ended", asked[1] | DOUBTED | {"result": "approved", "responseCode": "00"}),
        ("succeeded", APPROVED | {"at_once": True}),
    )


def reversed_() -> Payment:
    """Unknown, then undone at the second sending of the reversal."""
    undone = {"transactionStatus": "reversed", "responseCode": "00"}
    return payment(
        "failed",
        ("pending_verification", UNKNOWN),
        ("transaction.reversing", REVERSAL | {"transactionStatus": "reversing"}),
        ("attempt.ended", REVERSAL | undone | {"result": "approved", "sends": 2}),
        ("payment_failed", undone | {"result": "reversed", "at_once": True}),
    )


def held() -> Payment:
    """Authorized, to be captured."""
    return payment("authorized", ("authorized", APPROVED), mti="0100", amount_capturable=2499)


def captured() -> Payment:
    """A part was captured, the rest released."""
    capture = {
        "transaction": "txn_0000000000000000000002",
        "transactionType": "capture",
        "amountInCents": 1999,
        "mti": "0220",
        "stan": "000140",
    }
    release = {**capture, "kind": "release", "mti": "0420", "stan": "000141", "amountInCents": 2499}
    done = {"transactionStatus": "succeeded", "result": "approved", "responseCode": "00"}
    return payment(
        "succeeded",
        ("authorized", APPROVED),
        ("processing", capture | {"transactionStatus": "pending"}),
        ("succeeded", capture | done),
        ("attempt.started", release | {"transactionStatus": "succeeded"}),
        ("attempt.ended", release | done),
        mti="0100",
        amount_captured=1999,
    )


def refunded() -> Payment:
    """Paid, and a part given back, under an RRN of its own."""
    refund = {
        "transaction": "txn_0000000000000000000003",
        "transactionType": "refund",
        "amountInCents": 500,
        "stan": "000150",
        "rrn": "00253HVJ6Z4D",
    }
    done = {"transactionStatus": "succeeded", "result": "approved", "responseCode": "00"}
    return payment(
        "succeeded",
        ("succeeded", APPROVED),
        ("transaction.created", refund | {"transactionStatus": "pending"}),
        ("payment_intent.partially_refunded", refund | done),
        amount_captured=2499,
        amount_refunded=500,
    )
