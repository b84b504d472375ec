"""What the server answers with about webhooks, as frozen records; see `turnout_client.models`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from turnout_client import models as of

T = TypeVar("T")
JSON = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list, newest first."""

    items: tuple[T, ...]
    next_cursor: str | None  # for `after`; None on the last page

    @classmethod
    def from_json(cls, value: JSON, read: Callable[[JSON], T]) -> Page[T]:
        """Read a page of what `read` reads."""
        return cls(
            items=tuple(map(read, of.objects_in(value, "data"))),
            next_cursor=of.optional_in(value, "nextCursor", of.text_in),
        )


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to a payment, as endpoints are sent it."""

    id: str
    type: str  # payment_intent.succeeded and others
    timestamp: datetime
    sequence: int  # the intent's version
    api_version: str
    data: of.PaymentIntent  # as it was then

    @classmethod
    def from_json(cls, value: JSON) -> Event:
        """Read an event, also one that `verify_webhook` has let through."""
        return cls(
            id=of.text_in(value, "id"),
            type=of.text_in(value, "type"),
            timestamp=of.instant_in(value, "timestamp"),
            sequence=of.integer_in(value, "sequence"),
            api_version=of.text_in(value, "apiVersion"),
            data=of.PaymentIntent.from_json(of.mapping_in(value, "data")),
        )


@dataclass(frozen=True, kw_only=True)
class WebhookEndpoint:
    """Where events are sent."""

    id: str
    url: str
    description: str
    event_types: tuple[str, ...]  # none: all
    api_version: str
    status: str  # enabled, disabled
    disabled_reason: str | None
    secret: str | None = field(repr=False)  # only where it was just made
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_json(cls, value: JSON) -> WebhookEndpoint:
        """Read an endpoint."""
        return cls(
            id=of.text_in(value, "id"),
            url=of.text_in(value, "url"),
            description=of.text_in(value, "description"),
            event_types=tuple(map(str, of.objects_in(value, "eventTypes"))),
            api_version=of.text_in(value, "apiVersion"),
            status=of.text_in(value, "status"),
            disabled_reason=of.optional_in(value, "disabledReason", of.text_in),
            secret=of.optional_in(value, "secret", of.text_in),
            previous_secret_until=of.optional_in(value, "previousSecretUntil", of.instant_in),
            created_at=of.instant_in(value, "createdAt"),
            updated_at=of.instant_in(value, "updatedAt"),
        )


@dataclass(frozen=True, kw_only=True)
class WebhookTry:
    """One try of a delivery."""

    number: int
    started_at: datetime
    duration_ms: int
    status_code: int | None
    reason: str | None  # None where it was delivered

    @classmethod
    def from_json(cls, value: JSON) -> WebhookTry:
        """Read a try."""
        return cls(
            number=of.integer_in(value, "number"),
            started_at=of.instant_in(value, "startedAt"),
            duration_ms=of.integer_in(value, "durationMs"),
            status_code=of.optional_in(value, "statusCode", of.integer_in),
            reason=of.optional_in(value, "reason", of.text_in),
        )


@dataclass(frozen=True, kw_only=True)
class WebhookDelivery:
    """One event on its way to one endpoint."""

    id: str
    endpoint: str
    event: str
    event_type: str
    status: str
    try_count: int
    next_try_at: datetime | None
    created_at: datetime
    tries: tuple[WebhookTry, ...]

    @classmethod
    def from_json(cls, value: JSON) -> WebhookDelivery:
        """Read a delivery with its newest tries."""
        return cls(
            id=of.text_in(value, "id"),
            endpoint=of.text_in(value, "endpoint"),
            event=of.text_in(value, "event"),
            event_type=of.text_in(value, "eventType"),
            status=of.text_in(value, "status"),
            try_count=of.integer_in(value, "tryCount"),
            next_try_at=of.optional_in(value, "nextTryAt", of.instant_in),
            created_at=of.instant_in(value, "createdAt"),
            tries=tuple(map(WebhookTry.from_json, of.objects_in(value, "tries"))),
        )
