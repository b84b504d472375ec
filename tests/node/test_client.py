"""The Node client: every route, the published vectors, retries, webhooks, and real payments."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from api import examples
from api.route import Access, Route
from api.routes import ROUTES, Router
from stack.credentials import DEMO_FILE
from stack.temporary import temporary_stack
from tests.support.client_answers import INTENT, KEYS
from tests.support.client_server import DROP, answer, scripted_server

ROOT: Final = Path(__file__).parents[2]
DRIVER: Final = ROOT / "tests" / "node" / "drive.mjs"
VECTORS: Final = ROOT / "docs" / "vectors"
TIMEOUT_S: Final = 60.0
PI: Final = "pi_0351u79db2uVtjNqvEEbaq"
WE: Final = "we_0351u79p1Yk3tQm8VxNc2s"
WHD: Final = "whd_0351u79r8Dq2mVbn5TzQ4k"
CREATE: Final = [{"amountInCents": 2499, "currency": "usd"}]
CALLS: Final[dict[str, list[Any]]] = {
    "createPaymentIntent": CREATE,
    "listPaymentIntents": [{"status": ["failed", "canceled"], "metadata": {"tier": "a b"}}],
    "getPaymentIntent": [PI],
    "createTransaction": [PI, {"type": "cancel"}],
    "listPaymentIntentEvents": [PI],
    "getBalance": [],
    "listEvents": [{"limit": 5}],
    "createWebhookEndpoint": [{"url": "https://shop.example/hooks"}],
    "listWebhookEndpoints": [],
    "getWebhookEndpoint": [WE],
    "updateWebhookEndpoint": [WE, {"enabled": False}],
    "deleteWebhookEndpoint": [WE],
    "rollWebhookSecret": [WE, {"overlapSeconds": 60}],
    "listWebhookDeliveries": [{"status": "failed"}],
    "getWebhookDelivery": [WHD],
    "replayWebhookDelivery": [WHD],
    "listCaptureKeys": [],
}
ROUTER: Final = Router(ROUTES)
SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()

pytestmark = pytest.mark.node


async def _drive(*arguments: str | Path, stdin: bytes = b"") -> Any:
    with trio.fail_after(TIMEOUT_S):
        done = await trio.run_process(
            ["node", str(DRIVER), *map(str, arguments)], stdin=stdin, capture_stdout=True
        )
    return json.loads(done.stdout)


async def _call(name: str, url: str, *arguments: Any) -> Any:
    return await _drive("call", name, url, json.dumps(arguments))


def _shown(route: Route) -> Any:
    if route.name == "listCaptureKeys":
        return KEYS
    [shown, *_] = examples.of_answer(route, next(iter(route.answers))).values()
    return shown["value"]


async def test_it_has_a_method_for_every_route() -> None:
    """Named as the operation is, all but pages, scripts and the health of the process."""
    merchants = {route.name for route in ROUTES if route.access is not Access.OPEN}
    assert CALLS.keys() == merchants | {"listCaptureKeys"}
    assert CALLS.keys() <= set(await _drive("methods"))


@pytest.mark.parametrize("name", CALLS)
async def test_a_method_is_its_route(name: str) -> None:
    """One request to it, and the answer is what comes back."""
    [route] = [route for route in ROUTES if route.name == name]
    with scripted_server(answer(_shown(route), next(iter(route.answers)))) as server:
        found = await _call(name, server.url, *CALLS[name])
    assert found == {"value": _shown(route)}
    [request] = server.requests
    method, target, _ = request.split(b" ", 2)
    assert ROUTER.match(method, target.partition(b"?")[0])[0] is route
    if name == "listPaymentIntents":
        query = b"status=failed%2Ccanceled&metadata%5Btier%5D=a%20b"
        assert target.partition(b"?")[2] == query


async def test_it_passes_the_published_vectors() -> None:
    """Every signature, and every sealed card of both suites, byte for byte."""
    found = await _drive("vectors", VECTORS)
    signed = json.loads((VECTORS / "signing.json").read_text())["vectors"]
    sealed = json.loads((VECTORS / "card.json").read_text())["seals"]
    assert found["signed"] == [
        [each["name"], each["canonicalString"], each["signature"]] for each in signed
    ]
    assert found["sealed"] == [[each["name"], each["ciphertext"]] for each in sealed]
    assert {each["suite"] for each in sealed} == {1, 2}


async def test_a_repeat_has_the_same_key_and_a_new_nonce() -> None:
    """After a lost connection and a busy server, until there is an answer."""
    busy = answer({"code": "overloaded"}, 503)
    with scripted_server(DROP, busy, answer(INTENT, 201)) as server:
        found = await _call("createPaymentIntent", server.url, *CREATE)
    assert found["value"]["id"] == INTENT["id"]
    assert len(set(server.bodies())) == 1
    [key] = {value for name in ("idempotency-key",) for value in _values(server.requests, name)}
    assert len(key) == 36
    assert len(set(_values(server.requests, "x-request-nonce"))) == 3
    assert len(set(_values(server.requests, "x-signature"))) == 3


async def test_what_is_refused_is_an_error() -> None:
    """Not repeated; with the server's code, and the key where nobody answered."""
    with scripted_server(answer({"code": "not_found", "detail": "d"}, 404)) as server:
        found = await _call("getPaymentIntent", server.url, PI)
    assert (found["error"]["name"], found["error"]["code"]) == ("APIError", "not_found")
    with scripted_server(*[DROP] * 5) as server:
        found = await _call("createPaymentIntent", server.url, *CREATE, {"idempotencyKey": "k-1"})
    assert found["error"]["name"] == "ConnectionLostError"
    assert found["error"]["idempotencyKey"] == "k-1"
    assert len(server.requests) == 5


def _values(requests: list[bytes], name: str) -> list[str]:
    found = []
    for request in requests:
        lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
        found.append(headers[name])
    return found


def _webhook(**changes: Any) -> bytes:
    body = '{"id":"evt_1","note":"\u00fc"}'
    digest = hmac.digest(bytes(range(32)), f"evt_1.1000.{body}".encode(), hashlib.sha256)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": "1000",
        "webhook-signature": f"v1,{'A' * 44} v1,{base64.b64encode(digest).decode()}",
    }
    given = {"secret": SECRET, "headers": headers, "body": body, "nowS": 1_100} | changes
    return json.dumps(given).encode()


async def test_a_webhook_is_verified() -> None:
    """One right signature of several will do."""
    found = await _drive("webhook", stdin=_webhook())
    assert found == {"value": {"id": "evt_1", "note": "\u00fc"}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"body": "{}"}, "no signature is right"),
        ({"secret": "whsec_AAAA"}, "no signature is right"),
        ({"nowS": 1_301}, "300 s off"),
        ({"nowS": 699}, "300 s off"),
        ({"headers": {}}, "webhook-id is missing"),
        ({"secret": "AAAA"}, "must be whsec_"),
    ],
)
async def test_a_forged_or_old_webhook_is_not(changes: dict[str, Any], reason: str) -> None:
    """Whatever was changed is told."""
    found = await _drive("webhook", stdin=_webhook(**changes))
    assert reason in found["error"]["message"]


async def test_it_pays() -> None:
    """Approved, declined, and approved late; and finds what it paid by metadata."""
    paid = {"4242424242424242": None, "4000000000009995": "insufficient_funds"}
    late = {"4000000000008807": None}
    async with temporary_stack({}) as stack:
        found = await _drive("pay", stack.data_dir / DEMO_FILE, *paid, *late)
    expected = [
        [number, "failed" if code else "succeeded", code, 1]
        for number, code in (paid | late).items()
    ]
    assert found == expected
