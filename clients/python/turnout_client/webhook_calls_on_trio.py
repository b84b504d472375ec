"""The calls about webhooks, on Trio: `TrioTurnout.webhooks`."""

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

    async def __call__(self, steps: Steps[T]) -> T:
        """What the call returns."""
        ...


class TrioWebhookCalls:
    """Events, the endpoints that they are sent to, and how that went.

    Each call raises TurnoutError: refused, or no answer; see `turnout_client.errors`.
    """

    def __init__(self, core: WebhookCore, take: Take) -> None:
        self._core = core
        self._take = take

    async def list_events(self, **filters: Unpack[EventFilters]) -> Page[Event]:
        """As `WebhookCalls.list_events`."""
        return await self._take(self._core.list_events(filters))

    async def create_endpoint(
        self, url: str, *, idempotency_key: str | None = None, **options: Unpack[EndpointOptions]
    ) -> WebhookEndpoint:
        """As `WebhookCalls.create_endpoint`."""
        return await self._take(self._core.create_endpoint(url, options, idempotency_key))

    async def list_endpoints(self, **filters: Unpack[PageOptions]) -> Page[WebhookEndpoint]:
        """As `WebhookCalls.list_endpoints`."""
        return await self._take(self._core.list_endpoints(filters))

    async def retrieve_endpoint(self, endpoint_id: str) -> WebhookEndpoint:
        """As `WebhookCalls.retrieve_endpoint`."""
        return await self._take(self._core.retrieve_endpoint(endpoint_id))

    async def update_endpoint(
        self, endpoint_id: str, **changes: Unpack[EndpointChanges]
    ) -> WebhookEndpoint:
        """As `WebhookCalls.update_endpoint`."""
        return await self._take(self._core.update_endpoint(endpoint_id, changes))

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """As `WebhookCalls.delete_endpoint`."""
        await self._take(self._core.delete_endpoint(endpoint_id))

    async def roll_secret(
        self,
        endpoint_id: str,
        overlap_seconds: int | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> WebhookEndpoint:
        """As `WebhookCalls.roll_secret`."""
        return await self._take(
            self._core.roll_secret(endpoint_id, overlap_seconds, idempotency_key)
        )

    async def list_deliveries(self, **filters: Unpack[DeliveryFilters]) -> Page[WebhookDelivery]:
        """As `WebhookCalls.list_deliveries`."""
        return await self._take(self._core.list_deliveries(filters))

    async def retrieve_delivery(self, delivery_id: str) -> WebhookDelivery:
        """As `WebhookCalls.retrieve_delivery`."""
        return await self._take(self._core.retrieve_delivery(delivery_id))

    async def replay_delivery(
        self, delivery_id: str, *, idempotency_key: str | None = None
    ) -> WebhookDelivery:
        """As `WebhookCalls.replay_delivery`."""
        return await self._take(self._core.replay_delivery(delivery_id, idempotency_key))
