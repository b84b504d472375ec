"""Rows of the ledger and replies of the switch as the resources of the API."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from api.declines import DECLINES
from api.resources import (
    Card,
    LastError,
    PaymentIntent,
    ReducedPaymentIntent,
    TimelineEvent,
    Transaction,
)
from ledger import records
from ledger.ids import public_id
from switch.wire import TransactionState

_from_timestamp: Final = datetime.fromtimestamp
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode

_GENERIC: Final = "generic_decline"  # says less than the type of the transaction
_NOT_CONFIRMED: Final = frozenset({"", "not_confirmed"})  # reversed, and not for what it was
# Where no decline code says more: by the type of the transaction, a charge's unless it stands here.
_DECLINED: Final = "The card was declined."
_REFUSED: Final = {
    "cancel": "The card network refused to give the authorization up.",
    "capture": "The card network refused the capture.",
    "refund": "The card network refused the refund.",
}
_REVERSED: Final = {
    "charge": (
        "payment_reversed",
        "The payment could not be confirmed and was reversed; nothing was charged.",
    ),
    "refund": (
        "refund_reversed",
        "The refund could not be confirmed and was undone; nothing was given back.",
    ),
}


@lru_cache(maxsize=256)  # what one commit wrote shares its instant: some dozens of rows under load
def instant(at_us: int) -> datetime:
    """An instant of the ledger, microseconds since 1970.

    Exact until 2242: up to there a float of seconds is nearer to its microsecond than to any other.
    """
    return _from_timestamp(at_us / 1_000_000, UTC)


def transaction(state: TransactionState, payment_intent: str) -> Transaction:
    """A transaction; `payment_intent` is the public id of its intent."""
    card = None
    if state.card_last4:
        card = Card(
            brand=state.card_brand,
            last4=state.card_last4,
            exp_month=state.card_exp_month,
            exp_year=state.card_exp_year,
        )
    return Transaction(
        id=public_id("txn", state.transaction_id),
        payment_intent=payment_intent,
        type=state.type,
        status=state.status,
        amount_in_cents=state.amount_minor,
        currency=state.currency,
        final_capture=state.final_capture,
        decline_code=state.decline_code or None,
        advice=state.advice or None,
        response_code=state.response_code or None,
        approval_code=state.approval_code or None,
        card=card,
        created_at=instant(state.created_at),
        updated_at=instant(state.updated_at),
    )


def payment_intent(
    row: records.IntentRow, public: str, client_secret: str | None = None
) -> PaymentIntent:
    """An intent as its merchant sees it; the client secret only where it was just created.

    `public` is the intent's public id, which the caller has at hand.
    """
    latest = row.latest_transaction
    return PaymentIntent(
        id=public,
        amount_in_cents=row.amount_minor,
        currency=row.currency,
        description=row.description,
        status=row.status,
        capture_method=row.capture_method,
        amount_capturable=row.capturable_minor,
        amount_captured=row.captured_minor,
        amount_refunded=row.refunded_minor,
        client_secret=client_secret or UNSET,
        merchant_reference=row.merchant_reference,
        metadata=_decode_metadata(row.metadata) if row.metadata else {},
        last_error=last_error(latest),
        latest_transaction=None if latest is None else _latest(latest, public),
        amount_disputed=row.disputed_minor,
        allow_partial_authorization=row.allow_partial,
        capture_before=None if row.capture_before_us is None else instant(row.capture_before_us),
        cancel_requested=row.cancel_requested,
        version=row.version,
        created_at=instant(row.created_at_us),
        updated_at=instant(row.updated_at_us),
    )


def _latest(row: records.TransactionRow, payment_intent: str) -> Transaction:
    """A ledger row; its fields are those of the switch's state, in order."""
    return transaction(TransactionState(*astuple(row)), payment_intent)


def reduced_payment_intent(row: records.IntentRow, public: str) -> ReducedPaymentIntent:
    """An intent as the customer's browser sees it: of what went wrong only its own doing."""
    latest = row.latest_transaction
    return ReducedPaymentIntent(
        id=public,
        amount_in_cents=row.amount_minor,
        currency=row.currency,
        description=row.description,
        status=row.status,
        last_error=last_error(latest) if latest is not None and latest.type == "charge" else None,
    )


def last_error(latest: records.TransactionRow | None) -> LastError | None:
    """Why the latest transaction did not succeed; None if it did, or may still."""
    if latest is None or latest.status not in {"failed", "reversed"}:
        return None
    if latest.status == "reversed" and latest.decline_code in _NOT_CONFIRMED:
        code, detail = _REVERSED.get(latest.type, _REVERSED["charge"])
    else:
        code = _failure_code(latest)
        fallback = _REFUSED.get(latest.type, _DECLINED)
        known = DECLINES.get(latest.decline_code)
        detail = fallback if known is None or latest.decline_code == _GENERIC else known.meaning
    return LastError(
        code=code,
        decline_code=latest.decline_code or None,
        advice=latest.advice or None,
        detail=detail,
    )


def _failure_code(failed: records.TransactionRow) -> str:
    if not failed.response_code:
        return "processing_error"
    return "operation_refused" if failed.type in _REFUSED else "card_declined"


def timeline_event(event: records.TimelineEvent) -> TimelineEvent:
    """One event; the ledger's names of what is known become the API's."""
    return TimelineEvent(
        id=public_id("evt", event.id),
        sequence=event.sequence,
        type=event.type,
        actor=event.actor,
        at=instant(event.at_us),
        transaction=(
            None if event.transaction_id is None else public_id("txn", event.transaction_id)
        ),
        data={_camel_case(name): value for name, value in event.data.items()},
    )


def _camel_case(name: str) -> str:
    if name == "amount_minor":
        return "amountInCents"
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
