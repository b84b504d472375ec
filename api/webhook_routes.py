"""The routes of webhooks: rows of the table in `api.routes`."""

from __future__ import annotations

from typing import Final

from api import webhook_resources as resources
from api.route import LIMIT, Access, Parameter, Route, id_schema, items_of
from ledger.webhooks.kinds import EVENT_TYPES
from ledger.webhooks.statuses import DELIVERY_STATUSES

_AFTER: Final = Parameter("after", "string", "`nextCursor` of the page before.")

LIST_EVENTS: Final = Route(
    name="listEvents",
    method="GET",
    path="/events",
    access=Access.SERVER,
    summary="List the merchant's events, newest first",
    query=(
        LIMIT,
        _AFTER,
        Parameter(
            "type",
            "array",
            "Only these types, separated by commas.",
            items_of(EVENT_TYPES),
        ),
    ),
    answers={200: (resources.EventList,)},
    problems=("invalid_query",),
)
CREATE_ENDPOINT: Final = Route(
    name="createWebhookEndpoint",
    method="POST",
    path="/webhook-endpoints",
    access=Access.SERVER,
    summary="Create a webhook endpoint; the answer has its secret",
    body=resources.CreateWebhookEndpoint,
    answers={201: (resources.WebhookEndpoint,)},
    problems=("invalid_query", "webhook_url_refused", "too_many_webhook_endpoints"),
)
LIST_ENDPOINTS: Final = Route(
    name="listWebhookEndpoints",
    method="GET",
    path="/webhook-endpoints",
    access=Access.SERVER,
    summary="List webhook endpoints, newest first",
    query=(LIMIT, _AFTER),
    answers={200: (resources.WebhookEndpointList,)},
    problems=("invalid_query",),
)
GET_ENDPOINT: Final = Route(
    name="getWebhookEndpoint",
    method="GET",
    path="/webhook-endpoints/{id}",
    access=Access.SERVER,
    summary="Read a webhook endpoint",
    answers={200: (resources.WebhookEndpoint,)},
    problems=("invalid_query", "not_found"),
)
UPDATE_ENDPOINT: Final = Route(
    name="updateWebhookEndpoint",
    method="PATCH",
    path="/webhook-endpoints/{id}",
    access=Access.SERVER,
    summary="Change a webhook endpoint; what is not named stays",
    body=resources.UpdateWebhookEndpoint,
    answers={200: (resources.WebhookEndpoint,)},
    problems=("invalid_query", "not_found", "webhook_url_refused"),
)
DELETE_ENDPOINT: Final = Route(
    name="deleteWebhookEndpoint",
    method="DELETE",
    path="/webhook-endpoints/{id}",
    access=Access.SERVER,
    summary="Delete a webhook endpoint; what is on its way to it is canceled",
    answers={200: (resources.DeletedWebhookEndpoint,)},
    problems=("invalid_query", "not_found"),
)
ROLL_SECRET: Final = Route(
    name="rollWebhookSecret",
    method="POST",
    path="/webhook-endpoints/{id}/roll-secret",
    access=Access.SERVER,
    summary="Give a webhook endpoint a new secret; for a time both sign",
    body=resources.RollWebhookSecret,
    answers={200: (resources.WebhookEndpoint,)},
    problems=("invalid_query", "not_found"),
)
LIST_DELIVERIES: Final = Route(
    name="listWebhookDeliveries",
    method="GET",
    path="/webhook-deliveries",
    access=Access.SERVER,
    summary="List deliveries of events to endpoints, newest first",
    query=(
        LIMIT,
        _AFTER,
        Parameter("endpoint", "string", "Only to this endpoint.", id_schema("we")),
        Parameter("event", "string", "Only of this event.", id_schema("evt")),
        Parameter("status", "string", "Only in this status.", {"enum": list(DELIVERY_STATUSES)}),
    ),
    answers={200: (resources.WebhookDeliveryList,)},
    problems=("invalid_query",),
)
GET_DELIVERY: Final = Route(
    name="getWebhookDelivery",
    method="GET",
    path="/webhook-deliveries/{id}",
    access=Access.SERVER,
    summary="Read a delivery and its tries",
    answers={200: (resources.WebhookDelivery,)},
    problems=("invalid_query", "not_found"),
)
REPLAY_DELIVERY: Final = Route(
    name="replayWebhookDelivery",
    method="POST",
    path="/webhook-deliveries/{id}/replay",
    access=Access.SERVER,
    summary="Have a delivery that is over tried anew",
    body=resources.ReplayWebhookDelivery,
    answers={200: (resources.WebhookDelivery,)},
    problems=("invalid_query", "not_found"),
)

WEBHOOK_ROUTES: Final = (
    LIST_EVENTS,
    CREATE_ENDPOINT,
    LIST_ENDPOINTS,
    GET_ENDPOINT,
    UPDATE_ENDPOINT,
    DELETE_ENDPOINT,
    ROLL_SECRET,
    LIST_DELIVERIES,
    GET_DELIVERY,
    REPLAY_DELIVERY,
)
