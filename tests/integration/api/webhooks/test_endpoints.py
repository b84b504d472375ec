"""Endpoints through the API: made, changed, rolled and deleted, by their own merchant only."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.support.api import Merchant, RunningAPI, problem, running_api
from tests.support.http import Response
from tests.support.postgres import LedgerDSN

URL = "https://shop.example/hooks"
JSON = {"signed_Content-Type": "application/json"}


async def create(api: RunningAPI, merchant: Merchant | None = None, **members: Any) -> Response:
    """Ask for an endpoint."""
    body = {"url": URL} | members
    return await api.ask((merchant or api.shop).request("POST", "/webhook-endpoints", body))


async def ask(api: RunningAPI, method: str, target: str, body: Any = b"", **more: str) -> Any:
    """Send a signed request; its document."""
    if method == "PATCH":
        more |= JSON
    response = await api.ask(api.shop.request(method, target, body, **more))
    assert response.status == 200, response
    return json.loads(response.body)


async def test_an_endpoint_is_made_with_a_secret_shown_once(api: RunningAPI) -> None:
    """The secret is 32 bytes behind whsec_, and only the first answer has it."""
    response = await create(api, eventTypes=["payment_intent.succeeded"], description="main")
    made = json.loads(response.body)
    assert response.status == 201
    assert response.headers["location"] == f"/webhook-endpoints/{made['id']}"
    assert len(base64.b64decode(made.pop("secret").removeprefix("whsec_"))) == 32
    assert made["id"].startswith("we_")
    assert (made["url"], made["status"], made["disabledReason"]) == (URL, "enabled", None)
    assert made["eventTypes"] == ["payment_intent.succeeded"]
    assert await ask(api, "GET", f"/webhook-endpoints/{made['id']}") == made
    assert await ask(api, "GET", "/webhook-endpoints") == {"data": [made], "nextCursor": None}


async def test_a_repeat_under_the_same_key_is_the_same_endpoint(api: RunningAPI) -> None:
    """With its secret, as long as that was not rolled; another request under the key is refused."""
    body = {"url": URL}

    async def once(body: Any) -> Response:
        request = api.shop.request(
            "POST", "/webhook-endpoints", body, signed_idempotency_key="make-it"
        )
        return await api.ask(request)

    first, again = await once(body), await once(body)
    assert json.loads(first.body) == json.loads(again.body)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    other = await once({"url": URL + "/2"})
    assert problem(other)["code"] == "idempotency_key_reused"
    id_ = json.loads(first.body)["id"]
    await ask(api, "POST", f"/webhook-endpoints/{id_}/roll-secret", {})
    assert "secret" not in json.loads((await once(body)).body)


async def test_an_endpoint_is_changed_and_deleted(api: RunningAPI) -> None:
    """What is not named stays."""
    id_ = json.loads((await create(api, description="old")).body)["id"]
    target = f"/webhook-endpoints/{id_}"
    changed = await ask(api, "PATCH", target, {"url": URL + "/2", "enabled": False})
    assert (changed["url"], changed["description"]) == (URL + "/2", "old")
    assert (changed["status"], changed["disabledReason"]) == ("disabled", "merchant")
    changed = await ask(api, "PATCH", target, {"enabled": True, "description": ""})
    assert (changed["status"], changed["disabledReason"], changed["description"]) == (
        "enabled",
        None,
        "",
    )
    assert await ask(api, "DELETE", target) == {"id": id_, "deleted": True}
    for method in ("GET", "DELETE"):
        gone = await api.ask(api.shop.request(method, target))
        assert problem(gone)["code"] == "not_found"


async def test_a_secret_is_rolled_with_overlap(api: RunningAPI) -> None:
    """A repeat of the roll is no second one; the overlap is what was asked for."""
    made = json.loads((await create(api)).body)
    target = f"/webhook-endpoints/{made['id']}/roll-secret"
    body = {"overlapSeconds": 60}
    rolled = await ask(api, "POST", target, body, signed_idempotency_key="roll")
    assert rolled["secret"] != made["secret"]
    assert rolled["previousSecretUntil"] is not None
    again = await ask(api, "POST", target, body, signed_idempotency_key="roll")
    assert again == rolled
    without = await ask(api, "POST", target, {"overlapSeconds": 0})
    assert without["previousSecretUntil"] is None


@pytest.mark.parametrize(
    ("members", "code", "pointer"),
    [
        ({"url": "http://shop.example/"}, "webhook_url_refused", "/url"),
        ({"url": "https://10.0.0.1/"}, "webhook_url_refused", "/url"),
        ({"url": "https://2130706433/"}, "webhook_url_refused", "/url"),
        ({"url": "https://a:b@shop.example/"}, "webhook_url_refused", "/url"),
        ({"eventTypes": ["payment_intent.lost"]}, "invalid_value", "/eventTypes"),
        ({"eventTypes": ["payment_intent.created"] * 2}, "invalid_value", "/eventTypes"),
        ({"description": "x" * 501}, "invalid_value", "/description"),
        ({"apiVersion": "2020-01-01"}, "invalid_value", "/apiVersion"),
        ({"secret": "whsec_mine"}, "unknown_field", "/secret"),
    ],
)
async def test_what_is_wrong_is_named(
    api: RunningAPI, members: dict[str, Any], code: str, pointer: str
) -> None:
    """By a code and a pointer."""
    found = problem(await create(api, **members))
    assert (found["code"], found["errors"][0]["pointer"]) == (code, pointer)


async def test_there_are_so_many_endpoints_of_a_merchant(api: RunningAPI) -> None:
    """The one too many is a conflict; pages show those that there are."""
    for number in range(16):
        assert (await create(api, url=f"{URL}/{number}")).status == 201
    assert problem(await create(api))["code"] == "too_many_webhook_endpoints"
    page = await ask(api, "GET", "/webhook-endpoints?limit=10")
    rest = await ask(api, "GET", f"/webhook-endpoints?limit=10&after={page['nextCursor']}")
    urls = [one["url"] for one in page["data"] + rest["data"]]
    assert urls == [f"{URL}/{number}" for number in reversed(range(16))]
    assert rest["nextCursor"] is None


async def test_another_merchants_endpoint_is_not_there(api: RunningAPI) -> None:
    """Neither to read nor to change, roll or delete."""
    stranger = await api.add_merchant()
    id_ = json.loads((await create(api, stranger)).body)["id"]
    target = f"/webhook-endpoints/{id_}"
    requests = [
        api.shop.request("GET", target),
        api.shop.request("DELETE", target),
        api.shop.request("PATCH", target, {}, **JSON),
        api.shop.request("POST", f"{target}/roll-secret", {}),
    ]
    for request in requests:
        assert problem(await api.ask(request))["code"] == "not_found"
    assert (await ask(api, "GET", "/webhook-endpoints"))["data"] == []


async def test_live_mode_sends_to_nobody_on_this_machine(ledger_dsn: LedgerDSN) -> None:
    """Not by http, not by a name or an address of it; test mode does."""
    local = ("http://127.0.0.1:4242/", "https://localhost/", "https://127.0.0.1/", "http://[::1]/")
    async with running_api(ledger_dsn) as api:
        assert [(await create(api, url=url)).status for url in local] == [201] * 4
    async with running_api(ledger_dsn, mode="live") as api:
        for url in local:
            assert problem(await create(api, url=url))["code"] == "webhook_url_refused"
        assert (await create(api)).status == 201


async def test_without_the_hsm_no_secret_is_made(api: RunningAPI) -> None:
    """503, nothing recorded, and the next request is answered."""
    await api.create()  # the merchant is known by now
    api.hsm.silent = True
    assert problem(await create(api))["code"] == "hsm_unavailable"
    assert (await ask(api, "GET", "/webhook-endpoints"))["data"] == []
