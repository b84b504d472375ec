"""Webhooks over two shards: endpoints on the first, events and deliveries beside their payments."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from api.webhook_resources import API_VERSION
from api.webhooks.keyring import Keyring
from chassis.clock import now_us
from ledger.connection import Connection
from ledger.ids import UUID7Source, public_id, shard_of
from ledger.pgtypes import int8_, uuid_
from ledger.queries import Query
from ledger.webhooks.endpoints import NewEndpoint, create_endpoint, secret_context
from tests.support.api import IDS, RunningAPI, problem, running_api
from tests.support.ledger import open_ledger
from tests.support.postgres import LedgerDSN, PostgresServer
from tests.support.shards import open_shards
from tests.support.webhooks import (
    MERCHANT_SQL,
    QUICK,
    ROLE,
    SEALED,
    Opener,
    Told,
    consumer_of,
    pool_of,
    telling,
)

MERCHANT = Query("a_merchant", MERCHANT_SQL)
EVENT = Query(
    "an_event",
    "INSERT INTO merchant_events (id, merchant_id, intent_id, refunded_minor, occurred_at,"
    " intent_version, live, status, type, body)"
    " VALUES ($1::uuid, $2::uuid, $1::uuid, 0, to_timestamp($3::bigint), 1, false, 'created',"
    " 'payment_intent.created', convert_to('{\"at\":' || $3::bigint || '}', 'UTF8'))",
)
DELIVERY = Query(
    "a_delivery",
    "INSERT INTO webhook_deliveries (id, endpoint_id, event_id, merchant_id, live, event_type,"
    " status) VALUES ($1::uuid, $1::uuid, $1::uuid, $2::uuid, false, 'payment_intent.created',"
    " 'failed')",
)


@pytest.fixture(scope="module")
def dsns(postgres: PostgresServer) -> list[LedgerDSN]:
    """Two ledgers, half of the buckets on each."""
    made = [postgres.create_database() for _ in range(2)]

    async def found() -> None:
        async with open_shards(made) as harness:
            await harness.shards.found()

    trio.run(found)
    return made


@pytest.fixture
async def api(dsns: list[LedgerDSN]) -> AsyncIterator[RunningAPI]:
    """An api over both."""
    async with running_api(dsns[0], further_shards=dsns[1:]) as running:
        yield running


async def get(api: RunningAPI, target: str) -> Any:
    """A document."""
    response = await api.ask(api.shop.request("GET", target))
    assert response.status == 200, response
    return json.loads(response.body)


async def test_lists_are_of_all_shards(api: RunningAPI, dsns: list[LedgerDSN]) -> None:
    """Events by their instants, deliveries by their ids, pages across both."""
    made = []
    for shard, dsn in enumerate(dsns):
        session = await Connection.open(dsn.superuser, connect_timeout_s=10)
        ids = UUID7Source(now_us, os.urandom, shard=shard)
        for at_s in (100 + shard, 200 + shard):
            of = uuid_(api.shop.merchant_id)
            await session.run(EVENT, [uuid_(IDS.next()), of, int8_(at_s)])
            made.append(ids.next())
            await session.run(DELIVERY, [uuid_(made[-1]), of])
        await session.aclose()
    events, target = [], "/events?limit=3"
    while target:
        page = await get(api, target)
        events += [one["at"] for one in page["data"]]
        cursor = page["nextCursor"]
        target = f"/events?limit=3&after={cursor}" if cursor else ""
    assert events == [201, 200, 101, 100]
    expected = [public_id("whd", id_) for id_ in sorted(made, reverse=True)]
    first = await get(api, "/webhook-deliveries?limit=2")
    rest = await get(api, f"/webhook-deliveries?limit=2&after={first['nextCursor']}")
    assert [one["id"] for one in first["data"] + rest["data"]] == expected
    for id_ in expected:
        replayed = await api.ask(api.shop.request("POST", f"/webhook-deliveries/{id_}/replay", {}))
        assert json.loads(replayed.body)["status"] == "pending"
    elsewhere = public_id("whd", UUID7Source(now_us, os.urandom, shard=7).next())
    nowhere = await api.ask(api.shop.request("GET", f"/webhook-deliveries/{elsewhere}"))
    assert problem(nowhere)["code"] == "not_found"


async def test_a_shard_tells_endpoints_of_the_first(
    ledger_dsn: LedgerDSN, fresh_ledger_dsn: LedgerDSN, tmp_path: Path
) -> None:
    """Whom to tell, where and by which secret stands there; what was told, on the shard."""
    first, second = ledger_dsn, fresh_ledger_dsn
    async with open_ledger(second) as ledger, telling(ledger, tmp_path) as told:
        directory = pool_of(first(ROLE), 1)
        async with trio.open_nursery() as nursery:
            await nursery.start(directory.serve)
            endpoint = await _endpoint_on(first, ledger.merchant_id)
            await ledger.charged(1)
            await _tell_by(told, directory)
            found = await ledger.rows("SELECT endpoint_id, id FROM webhook_deliveries")
            assert [of for of, _ in found] == [endpoint] * 3
            assert {shard_of(id_) for _, id_ in found} == {1}
            keyring = Keyring(directory, Opener(), QUICK, live=False, batch_secrets_max=2)
            destination = (await keyring.find([endpoint]))[endpoint]
            assert destination is not None
            assert destination.keys == (bytes(32),)
            nursery.cancel_scope.cancel()


async def _endpoint_on(dsn: LedgerDSN, merchant_id: bytes) -> bytes:
    """An endpoint in another ledger than the payments."""
    id_ = IDS.next()
    session = await Connection.open(dsn.superuser, connect_timeout_s=10)
    await session.run(MERCHANT, [uuid_(merchant_id)])
    new = NewEndpoint(
        endpoint_id=id_,
        merchant_id=merchant_id,
        live=False,
        url="http://127.0.0.1:9/",
        description="",
        event_types=(),
        api_version=API_VERSION,
        sealed_secret=SEALED + secret_context(id_) + bytes(32),
        key_digest=bytes(16),
        request_hash=bytes(16),
    )
    assert await create_endpoint(session, new, endpoints_max=1) is True
    await session.aclose()
    return id_


async def _tell_by(told: Told, directory: Any) -> None:
    consumer = consumer_of(told.pool, directory=directory, shard=1)
    await told.tell(consumer=consumer)
