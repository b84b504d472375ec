"""The client covers every route of the API, and reads what the API's documents show.

Each call is sent to a server that answers with the example of the OpenAPI document. What arrived
there must be the route that the call is for.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from api import examples
from api.route import Access, Route
from api.routes import ROUTES, Router
from tests.support.client_answers import KEYS
from tests.support.client_server import answer, scripted_server
from turnout_client import Card, Turnout
from turnout_client.on_trio import TrioTurnout

CARD: Final = Card(number="4242424242424242", exp_month=12, exp_year=2030, cvc="123")
INTENT: Final = "pi_0351u79db2uVtjNqvEEbaq"
ENDPOINT: Final = "we_0351u79p1Yk3tQm8VxNc2s"
DELIVERY: Final = "whd_0351u79r8Dq2mVbn5TzQ4k"
CALLS: Final[dict[str, Callable[[Any], Any]]] = {
    "createPaymentIntent": lambda client: client.create_payment_intent(2499, "usd"),
    "listPaymentIntents": lambda client: client.list_payment_intents(limit=5),
    "getPaymentIntent": lambda client: client.retrieve(INTENT),
    "createTransaction": lambda client: client.charge(INTENT, "v1.k.c"),
    "listPaymentIntentEvents": lambda client: client.events(INTENT),
    "getBalance": lambda client: client.balance(),
    "listEvents": lambda client: client.webhooks.list_events(type=["payment_intent.created"]),
    "createWebhookEndpoint": lambda client: client.webhooks.create_endpoint(
        "https://shop.example/hooks", event_types=["payment_intent.created"]
    ),
    "listWebhookEndpoints": lambda client: client.webhooks.list_endpoints(after=ENDPOINT),
    "getWebhookEndpoint": lambda client: client.webhooks.retrieve_endpoint(ENDPOINT),
    "updateWebhookEndpoint": lambda client: client.webhooks.update_endpoint(
        ENDPOINT, enabled=False
    ),
    "deleteWebhookEndpoint": lambda client: client.webhooks.delete_endpoint(ENDPOINT),
    "rollWebhookSecret": lambda client: client.webhooks.roll_secret(ENDPOINT, 60),
    "listWebhookDeliveries": lambda client: client.webhooks.list_deliveries(status="failed"),
    "getWebhookDelivery": lambda client: client.webhooks.retrieve_delivery(DELIVERY),
    "replayWebhookDelivery": lambda client: client.webhooks.replay_delivery(DELIVERY),
    "listCaptureKeys": lambda client: client.seal(INTENT, CARD),
}
ROUTE: Final = {route.name: route for route in ROUTES}
ROUTER: Final = Router(ROUTES)


def test_there_is_a_call_for_every_route() -> None:
    """All but pages, scripts and the health of the process."""
    merchants = {route.name for route in ROUTES if route.access is not Access.OPEN}
    assert CALLS.keys() == merchants | {"listCaptureKeys"}


def _shown(route: Route) -> bytes:
    status = next(iter(route.answers))
    if route.name == "listCaptureKeys":
        return answer(KEYS)
    [shown, *_] = examples.of_answer(route, status).values()
    return answer(shown["value"], status)


def _arrived(request: bytes) -> str:
    method, target, _ = request.split(b" ", 2)
    return ROUTER.match(method, target.partition(b"?")[0])[0].name


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_its_route(name: str) -> None:
    """One request, and the answer is read."""
    with (
        scripted_server(_shown(ROUTE[name])) as server,
        Turnout("pk_test_docs", "sk_test_docs", server.url) as client,
    ):
        found = CALLS[name](client)
    assert [_arrived(request) for request in server.requests] == [name]
    assert (found is None) == (name == "deleteWebhookEndpoint")


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_on_trio_is_its_route(name: str) -> None:
    """The same request, and the same kind of thing comes of it."""
    with scripted_server(_shown(ROUTE[name])) as server:
        async with TrioTurnout("pk_test_docs", "sk_test_docs", server.url) as client:
            pending: Awaitable[Any] = CALLS[name](client)
            found = await pending
    assert [_arrived(request) for request in server.requests] == [name]
    assert (found is None) == (name == "deleteWebhookEndpoint")


def test_both_clients_have_the_same_calls() -> None:
    """By name and parameters."""
    with Turnout("pk_test_docs", "sk_test_docs") as blocking:
        on_trio = TrioTurnout("pk_test_docs", "sk_test_docs")
        pairs = ((blocking, on_trio), (blocking.webhooks, on_trio.webhooks))
        compared = [(_calls(one), _calls(other)) for one, other in pairs]
    for calls, others in compared:
        assert calls == others
        assert len(calls) >= 10


def _calls(client: object) -> dict[str, str]:
    return {
        name: str(inspect.signature(call))
        for name, call in inspect.getmembers(client, inspect.ismethod)
        if not name.startswith("_") and name not in {"close", "aclose"}
    }
