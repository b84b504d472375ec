"""Events and deliveries through the API: listed, filtered, replayed, by their own merchant only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.ids import public_id
from ledger.pgtypes import int8_, text_, uuid_
from ledger.queries import Query
from tests.support.api import IDS, Merchant, RunningAPI, problem

EVENT = Query(
    "an_event",
    "INSERT INTO merchant_events (id, merchant_id, intent_id, refunded_minor, occurred_at,"
    " intent_version, live, status, type, body)"
    " VALUES ($1::uuid, $2::uuid, $1::uuid, 0, to_timestamp($3::bigint), 1, false, 'created',"
    " $4::text, convert_to('{\"id\":\"' || $5::text || '\"}', 'UTF8'))",
)
DELIVERY = Query(
    "a_delivery",
    "INSERT INTO webhook_deliveries"
    " (id, endpoint_id, event_id, merchant_id, live, event_type, status, tries)"
    " VALUES ($1::uuid, $2::uuid, $3::uuid, $4::uuid, false, 'payment_intent.created',"
    " $5::text, 1)",
)
TRY = Query(
    "a_try",
    "INSERT INTO webhook_tries (delivery_id, number, started_at, duration_ms, status_code, reason)"
    " VALUES ($1::uuid, 1, now(), 7, 500, 'refused')",
)
QUEUED = Query("queued", "SELECT delivery_id FROM webhook_queue WHERE delivery_id = $1::uuid")


async def an_event(api: RunningAPI, at_s: int, type_: str, merchant: Merchant | None = None) -> str:
    """An event of a merchant; its public id."""
    id_, of = IDS.next(), (merchant or api.shop).merchant_id
    public = public_id("evt", id_)
    params = [uuid_(id_), uuid_(of), int8_(at_s), text_(type_), text_(public)]
    await api.superuser.run(EVENT, params)
    return public


async def a_delivery(
    api: RunningAPI, status: str, endpoint: bytes = b"", merchant: Merchant | None = None
) -> bytes:
    """A delivery that was tried once; its id."""
    id_, of = IDS.next(), (merchant or api.shop).merchant_id
    endpoint = endpoint or IDS.next()
    params = [uuid_(id_), uuid_(endpoint), uuid_(IDS.next()), uuid_(of), text_(status)]
    await api.superuser.run(DELIVERY, params)
    await api.superuser.run(TRY, [uuid_(id_)])
    return id_


async def get(api: RunningAPI, target: str) -> Any:
    """A document."""
    response = await api.ask(api.shop.request("GET", target))
    assert response.status == 200, response
    return json.loads(response.body)


async def test_events_are_listed_newest_first(api: RunningAPI) -> None:
    """In pages, by type, as they were sent; another merchant's are not there."""
    created = "payment_intent.created"
    ids = [await an_event(api, at_s, created) for at_s in (100, 100, 200)]
    paid = await an_event(api, 150, "payment_intent.succeeded")
    await an_event(api, 300, created, await api.add_merchant())
    expected = [ids[2], paid, *sorted(ids[:2], reverse=True)]
    found, target = [], "/events?limit=1"
    while target:
        page = await get(api, target)
        found += [one["id"] for one in page["data"]]
        cursor = page["nextCursor"]
        target = f"/events?limit=1&after={cursor}" if cursor else ""
    assert found == expected
    page = await get(api, "/events?type=payment_intent.succeeded,payment_intent.refunded")
    assert page == {"data": [{"id": paid}], "nextCursor": None}


async def test_deliveries_are_listed_with_their_tries(api: RunningAPI) -> None:
    """By endpoint and status, newest first; another merchant's are not there."""
    endpoint = IDS.next()
    failed = await a_delivery(api, "failed", endpoint)
    done = await a_delivery(api, "delivered")
    await a_delivery(api, "failed", merchant=await api.add_merchant())
    page = await get(api, "/webhook-deliveries")
    assert [one["id"] for one in page["data"]] == [public_id("whd", id_) for id_ in (done, failed)]
    one = (await get(api, f"/webhook-deliveries?endpoint={public_id('we', endpoint)}"))["data"][0]
    assert one == await get(api, f"/webhook-deliveries/{public_id('whd', failed)}")
    assert (one["status"], one["tryCount"], one["nextTryAt"]) == ("failed", 1, None)
    [tried] = one["tries"]
    assert tried.pop("startedAt")
    assert tried == {"number": 1, "durationMs": 7, "statusCode": 500, "reason": "refused"}
    by_status = await get(api, "/webhook-deliveries?status=delivered&limit=1")
    assert [one["id"] for one in by_status["data"]] == [public_id("whd", done)]
    first = await get(api, "/webhook-deliveries?limit=1")
    rest = await get(api, f"/webhook-deliveries?limit=1&after={first['nextCursor']}")
    assert [one["id"] for one in rest["data"]] == [public_id("whd", failed)]
    assert rest["nextCursor"] is None


async def test_a_delivery_is_replayed_once_for_a_key(api: RunningAPI) -> None:
    """It is due at once; a repeat under the key changes nothing, after it was delivered too."""
    id_ = await a_delivery(api, "delivered")
    target = f"/webhook-deliveries/{public_id('whd', id_)}/replay"
    again = api.shop.request("POST", target, {}, signed_idempotency_key="again")
    response = await api.ask(again)
    document = json.loads(response.body)
    assert (response.status, document["status"]) == (200, "pending")
    assert document["nextTryAt"] is not None
    assert (await api.superuser.run(QUEUED, [uuid_(id_)])).row_count == 1
    await api.superuser.script(
        "DELETE FROM webhook_queue; UPDATE webhook_deliveries SET status = 'delivered'"
    )
    repeated = await api.ask(api.shop.request("POST", target, {}, signed_idempotency_key="again"))
    assert json.loads(repeated.body)["status"] == "delivered"
    assert repeated.headers["idempotent-replayed"] == "true"
    other = await api.ask(api.shop.request("POST", target, {}))
    assert json.loads(other.body)["status"] == "pending"


async def test_another_merchants_delivery_is_not_there(api: RunningAPI) -> None:
    """Neither to read nor to replay."""
    id_ = await a_delivery(api, "failed", merchant=await api.add_merchant())
    target = f"/webhook-deliveries/{public_id('whd', id_)}"
    for request in (
        api.shop.request("GET", target),
        api.shop.request("POST", f"{target}/replay", {}),
        api.shop.request("GET", "/webhook-deliveries/whd_none"),
    ):
        assert problem(await api.ask(request))["code"] == "not_found"
    assert (await api.superuser.run(QUEUED, [uuid_(id_)])).row_count == 0


@pytest.mark.parametrize(
    "target",
    [
        "/events?limit=0",
        "/events?after=x",
        "/events?after=%C3%A9",
        "/events?type=payment_intent.lost",
        "/events?status=created",
        "/webhook-endpoints?after=pi_1",
        "/webhook-deliveries?status=lost",
        "/webhook-deliveries?endpoint=we_1",
        "/webhook-deliveries?event=1",
        "/webhook-deliveries?after=whd_1",
        "/webhook-deliveries?limit=101",
    ],
)
async def test_queries_are_read_strictly(api: RunningAPI, target: str) -> None:
    """A parameter that is wrong is named."""
    found = problem(await api.ask(api.shop.request("GET", target)))
    assert found["code"] == "invalid_query"
