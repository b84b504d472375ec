"""The calls about webhooks as generators of steps; see `turnout_client.protocol`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict
from urllib.parse import quote

from turnout_client.core import Core, camel_case, with_query
from turnout_client.protocol import Steps, read_object
from turnout_client.webhook_models import Event, Page, WebhookDelivery, WebhookEndpoint

_ENDPOINTS = "/webhook-endpoints"
_DELIVERIES = "/webhook-deliveries"


class PageOptions(TypedDict, total=False):
    """Which page."""

    limit: int  # 1 to 100
    after: str  # `next_cursor` of the page before


class EventFilters(PageOptions, total=False):
    """Which events to list."""

    type: str | Sequence[str]


class DeliveryFilters(PageOptions, total=False):
    """Which deliveries to list."""

    endpoint: str
    event: str
    status: str


class EndpointOptions(TypedDict, total=False):
    """What an endpoint may have besides its address."""

    event_types: Sequence[str]  # left out: all
    description: str
    api_version: str


class EndpointChanges(TypedDict, total=False):
    """What may change of an endpoint."""

    url: str
    event_types: Sequence[str]
    description: str
    enabled: bool


@dataclass(frozen=True)
class WebhookCore:
    """The calls without I/O."""

    core: Core

    def list_events(self, filters: EventFilters) -> Steps[Page[Event]]:
        """`GET /events`."""
        answer = yield from self.core.exchange("GET", with_query("/events", filters))
        return Page.from_json(read_object(answer), Event.from_json)

    def create_endpoint(
        self, url: str, options: EndpointOptions, idempotency_key: str | None
    ) -> Steps[WebhookEndpoint]:
        """`POST /webhook-endpoints`."""
        return self._post(_ENDPOINTS, {"url": url, **camel_case(options)}, idempotency_key)

    def list_endpoints(self, filters: PageOptions) -> Steps[Page[WebhookEndpoint]]:
        """`GET /webhook-endpoints`."""
        answer = yield from self.core.exchange("GET", with_query(_ENDPOINTS, filters))
        return Page.from_json(read_object(answer), WebhookEndpoint.from_json)

    def retrieve_endpoint(self, endpoint_id: str) -> Steps[WebhookEndpoint]:
        """`GET /webhook-endpoints/{id}`."""
        answer = yield from self.core.exchange("GET", _under(_ENDPOINTS, endpoint_id))
        return WebhookEndpoint.from_json(read_object(answer))

    def update_endpoint(self, endpoint_id: str, changes: EndpointChanges) -> Steps[WebhookEndpoint]:
        """`PATCH /webhook-endpoints/{id}`."""
        path = _under(_ENDPOINTS, endpoint_id)
        answer = yield from self.core.exchange("PATCH", path, camel_case(changes))
        return WebhookEndpoint.from_json(read_object(answer))

    def delete_endpoint(self, endpoint_id: str) -> Steps[None]:
        """`DELETE /webhook-endpoints/{id}`."""
        yield from self.core.exchange("DELETE", _under(_ENDPOINTS, endpoint_id))

    def roll_secret(
        self, endpoint_id: str, overlap_seconds: int | None, idempotency_key: str | None
    ) -> Steps[WebhookEndpoint]:
        """`POST /webhook-endpoints/{id}/roll-secret`."""
        body = {} if overlap_seconds is None else {"overlapSeconds": overlap_seconds}
        path = f"{_under(_ENDPOINTS, endpoint_id)}/roll-secret"
        return self._post(path, body, idempotency_key)

    def list_deliveries(self, filters: DeliveryFilters) -> Steps[Page[WebhookDelivery]]:
        """`GET /webhook-deliveries`."""
        answer = yield from self.core.exchange("GET", with_query(_DELIVERIES, filters))
        return Page.from_json(read_object(answer), WebhookDelivery.from_json)

    def retrieve_delivery(self, delivery_id: str) -> Steps[WebhookDelivery]:
        """`GET /webhook-deliveries/{id}`."""
        answer = yield from self.core.exchange("GET", _under(_DELIVERIES, delivery_id))
        return WebhookDelivery.from_json(read_object(answer))

    def replay_delivery(
        self, delivery_id: str, idempotency_key: str | None
    ) -> Steps[WebhookDelivery]:
        """`POST /webhook-deliveries/{id}/replay`."""
        path = f"{_under(_DELIVERIES, delivery_id)}/replay"
        key = self.core.key_for(idempotency_key)
        answer = yield from self.core.exchange("POST", path, {}, key)
        return WebhookDelivery.from_json(read_object(answer))

    def _post(
        self, path: str, body: Mapping[str, Any], idempotency_key: str | None
    ) -> Steps[WebhookEndpoint]:
        key = self.core.key_for(idempotency_key)
        answer = yield from self.core.exchange("POST", path, body, key)
        return WebhookEndpoint.from_json(read_object(answer))


def _under(path: str, id_: str) -> str:
    return f"{path}/{quote(id_, safe='')}"
