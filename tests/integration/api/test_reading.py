"""Reading intents: one, a page of them, what happened to one."""

from __future__ import annotations

import json

import pytest

from tests.support.api import (
    RunningAPI,
    problem,
)


@pytest.mark.parametrize("suffix", ["", "/events"])
async def test_another_merchants_intent_is_not_found(api: RunningAPI, suffix: str) -> None:
    """Two merchants: what is the one's does not exist for the other."""
    created = await api.create()
    stranger = await api.add_merchant()
    target = f"/payment-intents/{created['id']}{suffix}"
    assert (await api.ask(api.shop.request("GET", target))).status == 200
    response = await api.ask(stranger.request("GET", target))
    assert (response.status, problem(response)["code"]) == (404, "not_found")
    listed = await api.ask(stranger.request("GET", "/payment-intents"))
    assert json.loads(listed.body) == {"data": [], "nextCursor": None}


@pytest.mark.parametrize(
    "id_", ["pi_0", "pi_" + "0" * 22, "txn_" + "0" * 22, "pi_" + "-" * 22, "%41"]
)
async def test_ids_that_name_nothing(api: RunningAPI, id_: str) -> None:
    """An id that was never issued, well formed or not, is not found."""
    response = await api.ask(api.shop.request("GET", f"/payment-intents/{id_}"))
    assert (response.status, problem(response)["code"]) == (404, "not_found")


async def test_a_list_is_read_page_by_page(api: RunningAPI) -> None:
    """The cursor leads through all intents, newest first, without gaps or repeats."""
    created = [(await api.create())["id"] for _ in range(5)]
    found: list[str] = []
    target = "/payment-intents?limit=2"
    while True:
        page = json.loads((await api.ask(api.shop.request("GET", target))).body)
        found += [intent["id"] for intent in page["data"]]
        if page["nextCursor"] is None:
            break
        target = f"/payment-intents?limit=2&after={page['nextCursor']}"
    assert found == created[::-1]


async def test_a_list_is_filtered(api: RunningAPI) -> None:
    """Each filter narrows a list, alone and together; an encoded value is decoded."""
    created = await api.create(merchantReference="order-1", metadata={"tier": "gold & more"})
    after = created["createdAt"].replace(":", "%3A")
    for query, count in (
        ("status=created", 1),
        ("status=succeeded,failed", 0),
        (f"createdAfter={after}", 1),
        ("createdBefore=2020-01-01T00:00:00Z", 0),
        ("amountInCents=2499", 1),
        ("amountInCents=2498", 0),
        ("amountMin=2499&amountMax=2499", 1),
        ("amountMin=2500", 0),
        ("merchantReference=order-1", 1),
        ("merchantReference=order-2", 0),
        ("metadata[tier]=gold%20%26%20more", 1),
        ("metadata%5Btier%5D=gold%20%26%20more&amountMax=3000&status=created", 1),
        ("metadata[tier]=gold", 0),
    ):
        response = await api.ask(api.shop.request("GET", f"/payment-intents?{query}"))
        assert len(json.loads(response.body)["data"]) == count, query


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=1&limit=1",
        "after=pi_1",
        "status=paid",
        "page=2",
        "createdAfter=yesterday",
        "createdAfter=2026-01-02",
        "limit=%FF",
        "amountInCents=1.5",
        "amountMin=9&amountMax=8",
        "merchantReference=a%20b",
        "metadata[]=x",
    ],
)
async def test_queries_that_are_refused(api: RunningAPI, query: str) -> None:
    """An unknown, repeated or badly formed parameter is not ignored."""
    response = await api.ask(api.shop.request("GET", f"/payment-intents?{query}"))
    assert (response.status, problem(response)["code"]) == (400, "invalid_query")


async def test_the_timeline_begins_with_the_creation(api: RunningAPI) -> None:
    """Who did what when, oldest first."""
    created = await api.create()
    response = await api.ask(api.shop.request("GET", f"/payment-intents/{created['id']}/events"))
    (event,) = json.loads(response.body)["data"]
    assert list(event) == ["id", "sequence", "type", "actor", "at", "transaction", "data"]
    assert (event["sequence"], event["type"], event["actor"]) == (
        1,
        "payment_intent.created",
        "api",
    )
    assert event["id"].startswith("evt_")
    assert event["data"]["amountInCents"] == 2499


async def test_the_balance_is_of_the_merchant_and_the_mode_alone(api: RunningAPI) -> None:
    """What is booked for it, by currency; another merchant's and the other mode's are not in it."""
    response = await api.ask(api.shop.request("GET", "/balance"))
    assert (response.status, json.loads(response.body)) == (200, {"data": []})
    stranger = await api.add_merchant()
    for merchant, live, amount in (
        (api.shop, False, 70),
        (api.shop, True, 8),
        (stranger, False, 9),
    ):
        await api.superuser.script(
            "INSERT INTO accounts (id, merchant_id, live, purpose, currency, credits_minor)"
            f" VALUES (uuidv7(), '{merchant.merchant_id.hex()}', {live}, 'merchant_pending',"
            f" 'usd', {amount})"
        )
    response = await api.ask(api.shop.request("GET", "/balance"))
    [found] = json.loads(response.body)["data"]
    assert (found["currency"], found["amountPending"], found["amountHeld"]) == ("usd", 70, 0)
    response = await api.ask(stranger.request("GET", "/balance?currency=usd"))
    assert (response.status, problem(response)["code"]) == (400, "invalid_query")
