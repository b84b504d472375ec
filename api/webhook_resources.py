"""What the API says of webhooks: events, endpoints, deliveries; and the bodies that it takes.

The rules that types cannot say are checked where the bodies are used (`api.webhooks.endpoints`).
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType, field

from api.bodies import Body, documented
from api.resources import Instant, PaymentIntent, Resource
from ledger.webhooks.kinds import EVENT_TYPES
from ledger.webhooks.statuses import DELIVERY_STATUSES

API_VERSION: Final = "2026-11-01"
API_VERSIONS: Final = (API_VERSION,)  # that an endpoint may be pinned to
URL_CHARS_MAX: Final = 2_048
DESCRIPTION_CHARS_MAX: Final = 500


def _one_of(*values: str) -> Meta:
    return Meta(extra_json_schema={"enum": list(values)})


EventType = Annotated[str, _one_of(*EVENT_TYPES)]
DeliveryStatus = Annotated[str, _one_of(*DELIVERY_STATUSES)]
EndpointURL = Annotated[str, documented(format="uri", minLength=1, maxLength=URL_CHARS_MAX)]
Description = Annotated[str, documented(maxLength=DESCRIPTION_CHARS_MAX)]
Version = Annotated[str, documented(enum=list(API_VERSIONS))]


class Event(Resource, frozen=True, kw_only=True):
    """One event, as it is sent and as `GET /events` lists it."""

    id: str
    type: EventType
    timestamp: Instant
    sequence: int
    api_version: str
    data: PaymentIntent


class EventList(Resource, frozen=True, kw_only=True):
    """One page, newest first; `nextCursor` is null on the last."""

    data: list[Event]
    next_cursor: str | None


class WebhookEndpoint(Resource, frozen=True, kw_only=True):
    """Where a merchant wants to hear of what; `secret` only where it was just made."""

    id: str
    url: str
    description: str
    event_types: list[EventType]
    api_version: str
    status: Annotated[str, _one_of("enabled", "disabled")]
    disabled_reason: Annotated[str, _one_of("merchant", "gone", "operator")] | None
    secret: str | UnsetType = UNSET
    previous_secret_until: Instant | None
    created_at: Instant
    updated_at: Instant


class WebhookEndpointList(Resource, frozen=True, kw_only=True):
    """One page, newest first; `nextCursor` is null on the last."""

    data: list[WebhookEndpoint]
    next_cursor: str | None


class DeletedWebhookEndpoint(Resource, frozen=True, kw_only=True):
    """An endpoint that is no more."""

    id: str
    deleted: bool


class WebhookTry(Resource, frozen=True, kw_only=True):
    """One try of a delivery; `reason` is null where it was delivered."""

    number: int
    started_at: Instant
    duration_ms: int
    status_code: int | None
    reason: str | None


class WebhookDelivery(Resource, frozen=True, kw_only=True):
    """One event on its way to one endpoint, with its newest tries."""

    id: str
    endpoint: str
    event: str
    event_type: EventType
    status: DeliveryStatus
    try_count: int
    next_try_at: Instant | None
    created_at: Instant
    tries: list[WebhookTry]


class WebhookDeliveryList(Resource, frozen=True, kw_only=True):
    """One page, newest first; `nextCursor` is null on the last."""

    data: list[WebhookDelivery]
    next_cursor: str | None


class CreateWebhookEndpoint(Body, frozen=True, kw_only=True):
    """`POST /webhook-endpoints`."""

    url: EndpointURL
    event_types: list[EventType] = field(default_factory=list)
    description: Description = ""
    api_version: Version = API_VERSION


class UpdateWebhookEndpoint(Body, frozen=True, kw_only=True):
    """`PATCH /webhook-endpoints/{id}`; what is not named stays."""

    url: EndpointURL | UnsetType = UNSET
    event_types: list[EventType] | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class RollWebhookSecret(Body, frozen=True, kw_only=True):
    """`POST /webhook-endpoints/{id}/roll-secret`."""

    overlap_seconds: Annotated[int, documented(minimum=0)] | UnsetType = UNSET


class ReplayWebhookDelivery(Body, frozen=True, kw_only=True):
    """`POST /webhook-deliveries/{id}/replay`: an empty object."""
