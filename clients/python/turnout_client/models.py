"""What the server answers with, as frozen records.

Members that this client does not know are ignored, so that a newer server does not break it;
members that it needs and does not find are an `UnexpectedAnswerError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from turnout_client.errors import UnexpectedAnswerError

T = TypeVar("T")
JSON = Mapping[str, Any]

FINAL_STATUSES = frozenset({"succeeded", "authorized", "failed", "canceled"})
FINAL_TRANSACTION_STATUSES = frozenset({"succeeded", "failed", "reversed"})


@dataclass(frozen=True, kw_only=True)
class CardSummary:
    """What may be shown of the card that was charged."""

    brand: str
    last4: str
    exp_month: int
    exp_year: int

    @classmethod
    def from_json(cls, value: JSON) -> CardSummary:
        """Read the member `card`."""
        return cls(
            brand=_text(value, "brand"),
            last4=_text(value, "last4"),
            exp_month=_integer(value, "expMonth"),
            exp_year=_integer(value, "expYear"),
        )


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """One money movement of an intent. Amounts are in the currency's minor unit."""

    id: str
    payment_intent: str
    type: str  # charge, capture, cancel, refund, verification
    status: str  # pending, succeeded, failed, pending_verification, reversing, reversed
    amount_in_cents: int  # of a partial approval: what was approved
    currency: str
    final_capture: bool | None  # of a capture: whether the rest is released
    decline_code: str | None
    advice: str | None  # retry_later, use_other_card, do_not_retry, authenticate
    response_code: str | None
    approval_code: str | None
    card: CardSummary | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_final(self) -> bool:
        """Whether its outcome is known and stays."""
        return self.status in FINAL_TRANSACTION_STATUSES

    @classmethod
    def from_json(cls, value: JSON) -> Transaction:
        """Read a transaction."""
        return cls(
            id=_text(value, "id"),
            payment_intent=_text(value, "paymentIntent"),
            type=_text(value, "type"),
            status=_text(value, "status"),
            amount_in_cents=_integer(value, "amountInCents"),
            currency=_text(value, "currency"),
            final_capture=_optional(value, "finalCapture", _boolean),
            decline_code=_optional(value, "declineCode", _text),
            advice=_optional(value, "advice", _text),
            response_code=_optional(value, "responseCode", _text),
            approval_code=_optional(value, "approvalCode", _text),
            card=_optional(value, "card", _read_by(CardSummary.from_json)),
            created_at=_instant(value, "createdAt"),
            updated_at=_instant(value, "updatedAt"),
        )


@dataclass(frozen=True, kw_only=True)
class LastError:
    """Why the intent's last transaction did not succeed."""

    code: str
    decline_code: str | None
    advice: str | None
    detail: str

    @classmethod
    def from_json(cls, value: JSON) -> LastError:
        """Read the member `lastError`."""
        return cls(
            code=_text(value, "code"),
            decline_code=_optional(value, "declineCode", _text),
            advice=_optional(value, "advice", _text),
            detail=_text(value, "detail"),
        )


@dataclass(frozen=True, kw_only=True)
class PaymentIntent:
    """What is to be collected, and how far that has come."""

    id: str
    amount_in_cents: int
    currency: str
    description: str | None
    status: str
    capture_method: str  # automatic, manual
    allow_partial_authorization: bool
    amount_capturable: int  # of what is authorized, until `capture_before`
    amount_captured: int
    amount_refunded: int
    amount_disputed: int
    capture_before: datetime | None
    cancel_requested: bool  # a cancel waits for an outcome to become known
    client_secret: str | None  # for the customer's browser; only where the intent was created
    merchant_reference: str | None
    metadata: Mapping[str, str]
    last_error: LastError | None
    latest_transaction: Transaction | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens, also to a refund, unless somebody asks for it."""
        latest = self.latest_transaction
        return self.status in FINAL_STATUSES and (latest is None or latest.is_final)

    def __repr__(self) -> str:
        """Short, and never the client secret."""
        return (
            f"PaymentIntent(id={self.id!r}, status={self.status!r},"
            f" amount_in_cents={self.amount_in_cents}, currency={self.currency!r})"
        )

    @classmethod
    def from_json(cls, value: JSON) -> PaymentIntent:
        """Read an intent."""
        return cls(
            id=_text(value, "id"),
            amount_in_cents=_integer(value, "amountInCents"),
            currency=_text(value, "currency"),
            description=_optional(value, "description", _text),
            status=_text(value, "status"),
            capture_method=_text(value, "captureMethod"),
            allow_partial_authorization=_boolean(value, "allowPartialAuthorization"),
            amount_capturable=_integer(value, "amountCapturable"),
            amount_captured=_integer(value, "amountCaptured"),
            amount_refunded=_integer(value, "amountRefunded"),
            amount_disputed=_integer(value, "amountDisputed"),
            capture_before=_optional(value, "captureBefore", _instant),
            cancel_requested=_boolean(value, "cancelRequested"),
            client_secret=_optional(value, "clientSecret", _text),
            merchant_reference=_optional(value, "merchantReference", _text),
            metadata=_mapping(value, "metadata"),
            last_error=_optional(value, "lastError", _read_by(LastError.from_json)),
            latest_transaction=_optional(
                value, "latestTransaction", _read_by(Transaction.from_json)
            ),
            version=_integer(value, "version"),
            created_at=_instant(value, "createdAt"),
            updated_at=_instant(value, "updatedAt"),
        )


@dataclass(frozen=True, kw_only=True)
class PaymentIntentPage:
    """One page of intents, newest first."""

    intents: tuple[PaymentIntent, ...]
    next_cursor: str | None  # for `after`; None on the last page

    @classmethod
    def from_json(cls, value: JSON) -> PaymentIntentPage:
        """Read a page."""
        return cls(
            intents=tuple(map(PaymentIntent.from_json, _objects(value, "data"))),
            next_cursor=_optional(value, "nextCursor", _text),
        )


@dataclass(frozen=True, kw_only=True)
class TimelineEvent:
    """Who did what to an intent, and when."""

    id: str
    sequence: int
    type: str
    actor: str
    at: datetime
    transaction: str | None
    data: Mapping[str, Any]

    @classmethod
    def from_json(cls, value: JSON) -> TimelineEvent:
        """Read one event."""
        return cls(
            id=_text(value, "id"),
            sequence=_integer(value, "sequence"),
            type=_text(value, "type"),
            actor=_text(value, "actor"),
            at=_instant(value, "at"),
            transaction=_optional(value, "transaction", _text),
            data=_mapping(value, "data"),
        )

    @classmethod
    def list_from_json(cls, value: JSON) -> tuple[TimelineEvent, ...]:
        """Read a timeline, oldest first."""
        return tuple(map(cls.from_json, _objects(value, "data")))


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What stands on a merchant's accounts in one currency, in minor units."""

    currency: str
    amount_pending: int  # captured, not yet paid for by the network
    amount_available: int  # may be paid out
    amount_reserved: int
    amount_disputed: int
    amount_in_transit: int  # on its way to the merchant's bank
    amount_owed: int  # by the merchant
    amount_held: int  # on cards: authorized and not captured

    @classmethod
    def list_from_json(cls, value: JSON) -> tuple[Balance, ...]:
        """Read the balances, one for each currency."""
        return tuple(
            cls(
                currency=_text(one, "currency"),
                amount_pending=_integer(one, "amountPending"),
                amount_available=_integer(one, "amountAvailable"),
                amount_reserved=_integer(one, "amountReserved"),
                amount_disputed=_integer(one, "amountDisputed"),
                amount_in_transit=_integer(one, "amountInTransit"),
                amount_owed=_integer(one, "amountOwed"),
                amount_held=_integer(one, "amountHeld"),
            )
            for one in _objects(value, "data")
        )


def _member(value: JSON, name: str, expected: type[T]) -> T:
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, expected) or isinstance(found, bool) is not (expected is bool):
        raise UnexpectedAnswerError(f"{name}: is missing or not of type {expected.__name__}")
    return found


def _text(value: JSON, name: str) -> str:
    return _member(value, name, str)


def _integer(value: JSON, name: str) -> int:
    return _member(value, name, int)


def _boolean(value: JSON, name: str) -> bool:
    return _member(value, name, bool)


def _mapping(value: JSON, name: str) -> Mapping[str, Any]:
    return _member(value, name, dict)


def _objects(value: JSON, name: str) -> list[JSON]:
    return _member(value, name, list)


def _instant(value: JSON, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(_text(value, name))
    except ValueError:
        raise UnexpectedAnswerError(f"{name}: is no date and time") from None
    if instant.tzinfo is None:
        raise UnexpectedAnswerError(f"{name}: has no time zone")
    return instant


def _optional(value: JSON, name: str, read: Callable[[JSON, str], T]) -> T | None:
    return None if value.get(name) is None else read(value, name)


def _read_by(from_json: Callable[[JSON], T]) -> Callable[[JSON, str], T]:
    return lambda value, name: from_json(_mapping(value, name))
