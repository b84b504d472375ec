"""What needs no key: capture keys, documentation, health, and what is not there."""

from __future__ import annotations

import json

import pytest

from tests.support.api import (
    CAPTURE_KEY,
    RunningAPI,
    open_get,
    problem,
)


async def test_the_capture_keys_are_listed_and_cached(api: RunningAPI) -> None:
    """The document of contract 3; the HSM is asked once for many."""
    answers = [await api.ask(open_get("/keys")) for _ in range(3)]
    assert json.loads(answers[0].body) == {
        "keys": [
            {
                "kid": CAPTURE_KEY.kid,
                "suite": 1,
                "publicKey": "A" * 43,
                "state": "active",
                "notAfter": "2027-01-15T08:00:00Z",
            }
        ]
    }
    assert answers[0].headers["cache-control"] == "public, max-age=300"
    assert api.hsm.listed == 1


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/openapi.json", b'"openapi":"3.1.0"'),
        ("/docs", b"/payment-intents/{id}/transactions"),
        ("/docs/errors/nonce_reused", b"Nonce reused"),
        ("/docs/declines/incorrect_cvc", b"verification code is wrong"),
        ("/healthz", b'"status":"ok"'),
        ("/readyz", b'"ledger":true'),
    ],
)
async def test_pages_that_need_no_key(api: RunningAPI, path: str, content: bytes) -> None:
    """Documentation and health are open, by GET and by HEAD."""
    response = await api.ask(open_get(path))
    assert response.status == 200
    assert content in response.body
    head = await api.ask(open_get(path).replace(b"GET", b"HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(response.body))


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/payment-intents", "GET, HEAD, POST"),
        ("POST", "/payment-intents/x", "GET, HEAD"),
        ("GET", "/payment-intents/x/transactions", "POST"),
        ("OPTIONS", "/keys", "GET, HEAD"),
    ],
)
async def test_methods_that_are_not_allowed(
    api: RunningAPI, method: str, path: str, allow: str
) -> None:
    """405 says what is allowed, to everybody."""
    request = f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    response = await api.ask(request)
    assert (response.status, response.headers["allow"]) == (405, allow)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/payment-intents/",
        "/payment-intents//events",
        "//keys",
        "/docs/errors/x/y",
        "/docs/errors/unheard_of",
        "/keys/..",
        "/payment-intents/x/y",
    ],
)
async def test_addresses_that_are_not_there(api: RunningAPI, path: str) -> None:
    """Paths are compared as they are: no normalizing, no guessing."""
    response = await api.ask(open_get(path))
    assert (response.status, problem(response)["code"]) == (404, "not_found")
