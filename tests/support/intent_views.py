"""Views of intents as locked decisions see them, made by hand."""

from __future__ import annotations

from typing import Any

from ledger.deciding.records import AttemptView, IntentView, TransactionView


def transaction_view(transaction_id: bytes, status: str, **changes: Any) -> TransactionView:
    """A charge of 24.99 USD that stands so."""
    fields: dict[str, Any] = {
        "transaction_id": transaction_id,
        "type": "charge",
        "status": status,
        "amount_minor": 2499,
        "currency": "usd",
        "final_capture": None,
        "request_id": bytes(16),
        "created_at_us": 1,
        "updated_at_us": 1,
        "card_brand": "visa",
        "card_last4": "4242",
        "card_exp_month": 12,
        "card_exp_year": 2030,
        "response_code": "",
        "approval_code": "",
        "decline_code": "",
        "advice": "",
        "approved_minor": 0,
        "fingerprint": None,
        "intent_version": 2,
    }
    return TransactionView(**fields | changes)


def attempt_view(
    attempt_id: bytes, transaction_id: bytes, kind: str = "request", **changes: Any
) -> AttemptView:
    """A message that has no result yet, unless changed."""
    fields: dict[str, Any] = {
        "attempt_id": attempt_id,
        "transaction_id": transaction_id,
        "kind": kind,
        "network": "vsim",
        "acquirer_id": "400001",
        "mti": "0200",
        "stan": "000001",
        "rrn": "0ABCDEFGHIJK",
        "de7": "0102030405",
        "amount_minor": 2499,
        "currency": "usd",
        "owner": "switch",
        "epoch": 1,
        "deadline_at_us": 1,
        "created_at_us": 1,
        "result": "",
        "resolution": "",
        "response_code": "",
        "approval_code": "",
        "approved_minor": 0,
    }
    return AttemptView(**fields | changes)


def intent_view(intent_id: bytes, **changes: Any) -> IntentView:
    """An intent that was created, unless changed."""
    fields: dict[str, Any] = {
        "intent_id": intent_id,
        "merchant_id": bytes(16),
        "live_transaction_id": None,
        "amount_minor": 2499,
        "capturable_minor": 0,
        "captured_minor": 0,
        "refund_pending_minor": 0,
        "refunded_minor": 0,
        "disputed_minor": 0,
        "created_at_us": 1,
        "updated_at_us": 1,
        "capture_before_us": None,
        "version": 1,
        "charge_count": 0,
        "live": False,
        "allow_partial": False,
        "reversing": False,
        "cancel_requested": False,
        "currency": "usd",
        "status": "created",
        "capture_method": "automatic",
        "canceled_by": None,
    }
    return IntentView(**fields | changes)
