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
            brand=text_in(value, "brand"),
            last4=text_in(value, "last4"),
            exp_month=integer_in(value, "expMonth"),
            exp_year=integer_in(value, "expYear"),
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
            id=text_in(value, "id"),
            payment_intent=text_in(value, "paymentIntent"),
            type=text_in(value, "type"),
            status=text_in(value, "status"),
            amount_in_cents=integer_in(value, "amountInCents"),
            currency=text_in(value, "currency"),
            final_capture=optional_in(value, "finalCapture", _boolean),
            decline_code=optional_in(value, "declineCode", text_in),
            advice=optional_in(value, "advice", text_in),
            response_code=optional_in(value, "responseCode", text_in),
            approval_code=optional_in(value, "approvalCode", text_in),
            card=optional_in(value, "card", _read_by(CardSummary.from_json)),
            created_at=instant_in(value, "createdAt"),
            updated_at=instant_in(value, "updatedAt"),
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
            code=text_in(value, "code"),
            decline_code=optional_in(value, "declineCode", text_in),
            advice=optional_in(value, "advice", text_in),
            detail=text_in(value, "detail"),
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
            id=text_in(value, "id"),
            amount_in_cents=integer_in(value, "amountInCents"),
            currency=text_in(value, "currency"),
            description=optional_in(value, "description", text_in),
            status=text_in(value, "status"),
            capture_method=text_in(value, "captureMethod"),
            allow_partial_authorization=_boolean(value, "allowPartialAuthorization"),
            amount_capturable=integer_in(value, "amountCapturable"),
            amount_captured=integer_in(value, "amountCaptured"),
            amount_refunded=integer_in(value, "amountRefunded"),
            amount_disputed=integer_in(value, "amountDisputed"),
            capture_before=optional_in(value, "captureBefore", instant_in),
            cancel_requested=_boolean(value, "cancelRequested"),
            client_secret=optional_in(value, "clientSecret", text_in),
            merchant_reference=optional_in(value, "merchantReference", text_in),
            metadata=mapping_in(value, "metadata"),
            last_error=optional_in(value, "lastError", _read_by(LastError.from_json)),
            latest_transaction=optional_in(
                value, "latestTransaction", _read_by(Transaction.from_json)
            ),
            version=integer_in(value, "version"),
            created_at=instant_in(value, "createdAt"),
            updated_at=instant_in(value, "updatedAt"),
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
            intents=tuple(map(PaymentIntent.from_json, objects_in(value, "data"))),
            next_cursor=optional_in(value, "nextCursor", text_in),
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
            id=text_in(value, "id"),
            sequence=integer_in(value, "sequence"),
            type=text_in(value, "type"),
            actor=text_in(value, "actor"),
            at=instant_in(value, "at"),
            transaction=optional_in(value, "transaction", text_in),
            data=mapping_in(value, "data"),
        )

    @classmethod
    def list_from_json(cls, value: JSON) -> tuple[TimelineEvent, ...]:
        """Read a timeline, oldest first."""
        return tuple(map(cls.from_json, objects_in(value, "data")))


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
                currency=text_in(one, "currency"),
                amount_pending=integer_in(one, "amountPending"),
                amount_available=integer_in(one, "amountAvailable"),
                amount_reserved=integer_in(one, "amountReserved"),
                amount_disputed=integer_in(one, "amountDisputed"),
                amount_in_transit=integer_in(one, "amountInTransit"),
                amount_owed=integer_in(one, "amountOwed"),
                amount_held=integer_in(one, "amountHeld"),
            )
            for one in objects_in(value, "data")
        )


def _member(value: JSON, name: str, expected: type[T]) -> T:
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, expected) or isinstance(found, bool) is not (expected is bool):
        raise UnexpectedAnswerError(f"{name}: is missing or not of type {expected.__name__}")
    return found


def text_in(value: JSON, name: str) -> str:
    """A member that is a text; raises UnexpectedAnswerError."""
    return _member(value, name, str)


def integer_in(value: JSON, name: str) -> int:
    """A member that is a whole number; raises as `text_in`."""
    return _member(value, name, int)


def _boolean(value: JSON, name: str) -> bool:
    return _member(value, name, bool)


def mapping_in(value: JSON, name: str) -> Mapping[str, Any]:
    """A member that is an object; raises as `text_in`."""
    return _member(value, name, dict)


def objects_in(value: JSON, name: str) -> list[JSON]:
    """A member that is a list; raises as `text_in`."""
    return _member(value, name, list)


def instant_in(value: JSON, name: str) -> datetime:
    """A member that is an instant; raises as `text_in`."""
    try:
        instant = datetime.fromisoformat(text_in(value, name))
    except ValueError:
        raise UnexpectedAnswerError(f"{name}: is no date and time") from None
    if instant.tzinfo is None:
        raise UnexpectedAnswerError(f"{name}: has no time zone")
    return instant


def optional_in(value: JSON, name: str, read: Callable[[JSON, str], T]) -> T | None:
    """A member that may be null or left out; raises as `text_in`."""
    return None if value.get(name) is None else read(value, name)


def _read_by(from_json: Callable[[JSON], T]) -> Callable[[JSON, str], T]:
    return lambda value, name: from_json(mapping_in(value, name))
