"""What the API answers with: the resources of contract 4, members in its order, in camelCase.

Everything here is a plain record; `views` makes them from what the ledger and the switch hold.
Instants are RFC 3339 in UTC, ids in their public form, amounts in minor units.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.lifecycle import ADVICE_CODES, INTENT_STATUSES, TRANSACTION_STATUSES, TRANSACTION_TYPES


def _one_of(*values: str) -> Meta:
    """Documents the values of a text; what is answered comes from tables that are tested."""
    return Meta(extra_json_schema={"enum": list(values)})


IntentStatus = Annotated[str, _one_of(*INTENT_STATUSES)]
TransactionStatus = Annotated[str, _one_of(*TRANSACTION_STATUSES)]
TransactionType = Annotated[str, _one_of(*TRANSACTION_TYPES)]
CaptureMethod = Annotated[str, _one_of("automatic", "manual")]
Instant = Annotated[datetime, Meta(tz=True)]  # tz: RFC 3339 in the document as well
Advice = Annotated[str, _one_of(*ADVICE_CODES)]


class Resource(Struct, frozen=True, rename="camel"):
    """Base of everything answered: camelCase members in the order they are declared."""


class Card(Resource, frozen=True, kw_only=True):
    """What may be shown of a card."""

    brand: str
    last4: str
    exp_month: int
    exp_year: int


class Transaction(Resource, frozen=True, kw_only=True):
    """One money movement of an intent."""

    id: str
    payment_intent: str
    type: TransactionType
    status: TransactionStatus
    amount_in_cents: int
    currency: str
    final_capture: bool | None
    decline_code: str | None
    advice: Advice | None
    response_code: str | None
    approval_code: str | None
    card: Card | None
    created_at: Instant
    updated_at: Instant


class LastError(Resource, frozen=True, kw_only=True):
    """Why the intent's last transaction did not succeed."""

    code: str
    decline_code: str | None
    advice: Advice | None
    detail: str


class PaymentIntent(Resource, frozen=True, kw_only=True):
    """What is to be collected, and how far that has come."""

    id: str
    amount_in_cents: int
    currency: str
    description: str | None
    status: IntentStatus
    capture_method: CaptureMethod
    amount_capturable: int
    amount_captured: int
    amount_refunded: int
    client_secret: str | UnsetType = UNSET
    merchant_reference: str | None
    metadata: dict[str, str]
    last_error: LastError | None
    latest_transaction: Transaction | None
    amount_disputed: int
    allow_partial_authorization: bool
    capture_before: Instant | None
    cancel_requested: bool
    version: int
    created_at: Instant
    updated_at: Instant


class ReducedPaymentIntent(Resource, frozen=True, kw_only=True):
    """What a browser may see of the intent it holds the secret of."""

    id: str
    amount_in_cents: int
    currency: str
    description: str | None
    status: IntentStatus
    last_error: LastError | None


class PaymentIntentList(Resource, frozen=True, kw_only=True):
    """One page, newest first; `nextCursor` is null on the last."""

    data: list[PaymentIntent]
    next_cursor: str | None


class TimelineEvent(Resource, frozen=True, kw_only=True):
    """Who did what when; `data` depends on `type` and never holds card data."""

    id: str
    sequence: int
    type: str
    actor: str
    at: Instant
    transaction: str | None
    data: dict[str, Any]


class Timeline(Resource, frozen=True, kw_only=True):
    """All that happened to an intent, oldest first."""

    data: list[TimelineEvent]


class CurrencyBalance(Resource, frozen=True, kw_only=True):
    """What stands on a merchant's accounts in one currency; docs/ledger.md tells the accounts."""

    currency: str
    amount_pending: int
    amount_available: int
    amount_reserved: int
    amount_disputed: int
    amount_in_transit: int
    amount_owed: int
    amount_held: int


class Balance(Resource, frozen=True, kw_only=True):
    """`GET /balance`: one member for each currency in which anything was ever booked."""

    data: list[CurrencyBalance]


class CaptureKey(Resource, frozen=True, kw_only=True):
    """One public key to seal cards to (contract 3)."""

    kid: str
    suite: int
    public_key: str
    state: str
    not_after: Instant


class CaptureKeys(Resource, frozen=True, kw_only=True):
    """`GET /keys`; seal to the first key of a suite that the client speaks."""

    keys: list[CaptureKey]


class Health(Resource, frozen=True, kw_only=True):
    """`GET /healthz` and `GET /readyz`."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, bool]
