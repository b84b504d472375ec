"""What a timeline tells of transactions and attempts."""

from __future__ import annotations

from typing import Any

import pytest

from stack.payments import Payment
from tests.support import payments
from tests.support.payments import APPROVED, MESSAGE, TRANSACTION, UNKNOWN


@pytest.mark.parametrize(
    ("payment", "status", "outcome"),
    [
        pytest.param(payments.approved(), "succeeded", "approved", id="approved"),
        pytest.param(payments.declined(), "failed", "declined", id="declined"),
        pytest.param(payments.late(), "succeeded", "approved", id="late"),
        pytest.param(
            payments.payment("pending_verification", ("pending_verification", UNKNOWN)),
            "pending_verification",
            "unknown",
            id="in doubt",
        ),
        pytest.param(payments.payment("processing"), "pending", "", id="under way"),
    ],
)
def test_the_document_is_that_of_the_contract(payment: Payment, status: str, outcome: str) -> None:
    """One transaction with one attempt, and the latest outcome, in exactly these members."""
    attempt = {"mti": "0200", "stan": "000123", "rrn": "00253HVJ6Z4C", "outcome": outcome}
    assert payment.document() == {
        "intent": payments.INTENT,
        "status": payment.intent.status,
        "transactions": [
            {"id": TRANSACTION, "type": "charge", "status": status, "attempts": [attempt]}
        ],
    }


@pytest.mark.parametrize(
    ("payment", "status", "attempts"),
    [
        pytest.param(
            payments.verified(),
            "succeeded",
            [
                ("request", "0200", "000123", "approved"),
                ("inquiry", "0600", "000124", "unknown"),
                ("inquiry", "0600", "000125", "approved"),
            ],
            id="verified",
        ),
        pytest.param(
            payments.reversed_(),
            "reversed",
            [("request", "0200", "000123", "reversed"), ("reversal", "0420", "000130", "approved")],
            id="reversed",
        ),
    ],
)
def test_every_message_of_a_transaction_is_an_attempt(
    payment: Payment, status: str, attempts: list[tuple[str, ...]]
) -> None:
    """Inquiries and reversals are the charge's own; it stands where the last event left it."""
    (transaction,) = payment.transactions()
    assert transaction.status == status
    assert [(a.kind, a.mti, a.stan, a.outcome) for a in transaction.attempts] == attempts


def test_an_intent_without_a_charge_has_no_transactions() -> None:
    """Creation alone tells of no attempt."""
    whole = payments.approved()
    assert Payment(whole.intent, whole.events[:1]).transactions() == []


def test_the_second_phase_replaces_the_first_in_all_its_codes() -> None:
    """A late answer brings its response and approval codes with it."""
    (transaction,) = payments.late().transactions()
    (attempt,) = transaction.attempts
    assert (attempt.response_code, attempt.approval_code) == ("00", "321000")


@pytest.mark.parametrize("differs", ["stan", "de7", "mti"])
def test_messages_that_share_an_rrn_are_told_apart(differs: str) -> None:
    """A reversal carries the RRN of what it reverses and is an attempt of its own."""
    other: dict[str, Any] = {differs: MESSAGE[differs][::-1]}
    payment = payments.payment(
        "pending_verification", ("pending_verification", UNKNOWN), ("succeeded", other | APPROVED)
    )
    (transaction,) = payment.transactions()
    assert [attempt.outcome for attempt in transaction.attempts] == ["unknown", "approved"]
