"""The calls about webhooks, blocking: `Turnout.webhooks`."""

from __future__ import annotations

from typing import Protocol, TypeVar, Unpack

from turnout_client.protocol import Steps
from turnout_client.webhook_core import (
    DeliveryFilters,
    EndpointChanges,
    EndpointOptions,
    EventFilters,
    PageOptions,
    WebhookCore,
)
from turnout_client.webhook_models import Event, Page, WebhookDelivery, WebhookEndpoint

T = TypeVar("T")


class Take(Protocol):
    """Takes the steps of one call."""

    def __call__(self, steps: Steps[T]) -> T:
        """What the call returns."""
        ...


class WebhookCalls:
    """Events, the endpoints that they are sent to, and how that went.

    Each call raises TurnoutError: refused, or no answer; see `turnout_client.errors`.
    """

    def __init__(self, core: WebhookCore, take: Take) -> None:
        self._core = core
        self._take = take

    def list_events(self, **filters: Unpack[EventFilters]) -> Page[Event]:
        """Read one page of the merchant's events, newest first."""
        return self._take(self._core.list_events(filters))

    def create_endpoint(
        self, url: str, *, idempotency_key: str | None = None, **options: Unpack[EndpointOptions]
    ) -> WebhookEndpoint:
        """Have events sent to an address; the answer has the `secret`, this once."""
        return self._take(self._core.create_endpoint(url, options, idempotency_key))

    def list_endpoints(self, **filters: Unpack[PageOptions]) -> Page[WebhookEndpoint]:
        """Read one page of endpoints, newest first."""
        return self._take(self._core.list_endpoints(filters))

    def retrieve_endpoint(self, endpoint_id: str) -> WebhookEndpoint:
        """Read an endpoint."""
        return self._take(self._core.retrieve_endpoint(endpoint_id))

    def update_endpoint(
        self, endpoint_id: str, **changes: Unpack[EndpointChanges]
    ) -> WebhookEndpoint:
        """Change an endpoint; what is not named stays."""
        return self._take(self._core.update_endpoint(endpoint_id, changes))

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint; repeated after a lost answer it is a `NotFoundError`."""
        self._take(self._core.delete_endpoint(endpoint_id))

    def roll_secret(
        self,
        endpoint_id: str,
        overlap_seconds: int | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> WebhookEndpoint:
        """Give an endpoint a new `secret`; the old one signs besides for so long."""
        return self._take(self._core.roll_secret(endpoint_id, overlap_seconds, idempotency_key))

    def list_deliveries(self, **filters: Unpack[DeliveryFilters]) -> Page[WebhookDelivery]:
        """Read one page of deliveries, newest first."""
        return self._take(self._core.list_deliveries(filters))

    def retrieve_delivery(self, delivery_id: str) -> WebhookDelivery:
        """Read a delivery and its tries."""
        return self._take(self._core.retrieve_delivery(delivery_id))

    def replay_delivery(
        self, delivery_id: str, *, idempotency_key: str | None = None
    ) -> WebhookDelivery:
        """Have a delivery that is over tried anew."""
        return self._take(self._core.replay_delivery(delivery_id, idempotency_key))
