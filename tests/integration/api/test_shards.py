"""An api over two shards: everything goes home, and what moves is found where it was."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define

from ledger.ids import SHARDS_MAX, UUID7Source, parse_id, public_id, shard_of
from ledger.records import Created
from ledger.shards.buckets import BUCKETS, bucket_of
from switch.wire import Charge, Operate
from tests.support.api import HOST, SEALED_CHARGE, Merchant, RunningAPI, problem, running_api
from tests.support.http import Response
from tests.support.ledger import IDS
from tests.support.postgres import LedgerDSN, PostgresServer
from tests.support.shards import ShardsHarness, intent_at, merchant_in, open_shards

FIRST, SECOND = range(BUCKETS // 2), range(BUCKETS // 2, BUCKETS)
DEED = {"operator": "ada", "note": "more room"}
ORDER = {"amountInCents": 2499, "currency": "usd"}


@pytest.fixture(scope="module")
def dsns(postgres: PostgresServer) -> list[LedgerDSN]:
    """Two ledgers, half of the buckets on each."""
    made = [postgres.create_database() for _ in range(2)]

    async def found() -> None:
        async with open_shards(made) as harness:
            await harness.shards.found()

    trio.run(found)
    return made


@define
class OverTwo:
    """An api over two shards, and an operator's hands on them."""

    api: RunningAPI
    ledgers: ShardsHarness

    async def merchant(self, buckets: range) -> Merchant:
        """A merchant of a shard."""
        return await self.api.add_merchant(merchant_id=merchant_in(buckets))

    async def move(self, merchant: Merchant, to_shard: int) -> None:
        """Move a merchant's bucket, to the end."""
        await self.ledgers.shards.plan([bucket_of(merchant.merchant_id)], to_shard, **DEED)
        await self.ledgers.shards.finish()

    async def ask(
        self, of: Merchant, method: str, target: str, body: Any = b"", **changes: str | None
    ) -> Response:
        """One signed request."""
        return await self.api.ask(of.request(method, target, body, **changes))

    async def get(self, of: Merchant, target: str) -> dict[str, Any]:
        """Read what must be there."""
        response = await self.ask(of, "GET", target)
        assert response.status == 200, response
        found: dict[str, Any] = json.loads(response.body)
        return found


@pytest.fixture
async def two(dsns: list[LedgerDSN]) -> AsyncIterator[OverTwo]:
    """Both running."""
    async with (
        running_api(dsns[0], further_shards=dsns[1:]) as api,
        open_shards(dsns) as ledgers,
    ):
        yield OverTwo(api, ledgers)


@asynccontextmanager
async def away(postgres: PostgresServer, dsn: LedgerDSN) -> AsyncIterator[None]:
    """A ledger that nobody reaches, until the block ends; sessions on it are lost."""
    name = dsn.database
    try:
        await postgres.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await postgres.administer(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        yield
    finally:
        await postgres.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def home(intent: dict[str, Any]) -> int:
    """The shard that an intent's id names."""
    return shard_of(parse_id("pi", intent["id"]))


@pytest.mark.parametrize(("buckets", "shard"), [(FIRST, 0), (SECOND, 1)])
async def test_intents_are_created_read_and_charged_on_their_merchants_shard(
    two: OverTwo, buckets: range, shard: int
) -> None:
    """The id names the shard; reading, charging, capturing and refunding follow it."""
    merchant = await two.merchant(buckets)
    intent = await two.api.create(merchant)
    assert home(intent) == shard
    target = f"/payment-intents/{intent['id']}"
    assert (await two.get(merchant, target))["amountInCents"] == 2499
    assert (await two.get(merchant, f"{target}/events"))["data"][0]["sequence"] == 1
    for body in (SEALED_CHARGE, {"type": "capture"}, {"type": "refund", "amountInCents": 5}):
        response = await two.ask(merchant, "POST", f"{target}/transactions", body)
        assert response.status == 200, response
    ours, others = two.api.switches[shard], two.api.switches[1 - shard]
    assert [type(request) for request in ours.requests] == [Charge, Operate, Operate]
    assert others.requests == []


async def test_an_id_of_a_shard_that_there_is_none_of_is_not_found(two: OverTwo) -> None:
    """For reading, for charging, and for the timeline."""
    merchant = await two.merchant(FIRST)
    stranger = UUID7Source(lambda: 1, bytes, shard=SHARDS_MAX - 1).next()
    target = f"/payment-intents/{public_id('pi', stranger)}"
    for method, path, body in (
        ("GET", target, b""),
        ("GET", f"{target}/events", b""),
        ("POST", f"{target}/transactions", SEALED_CHARGE),
    ):
        response = await two.ask(merchant, method, path, body)
        assert problem(response)["code"] == "not_found"


async def test_a_browser_is_told_nothing_of_ids_that_name_no_shard(two: OverTwo) -> None:
    """Its secret does not open them, as it does not open any other."""
    merchant = await two.merchant(FIRST)
    intent = await two.api.create(merchant)
    stranger = public_id("pi", UUID7Source(lambda: 1, bytes, shard=SHARDS_MAX - 1).next())
    secret = intent["clientSecret"].replace(intent["id"], stranger)
    assert stranger in secret
    response = await two.api.ask(
        f"GET /payment-intents/{stranger} HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Authorization: Bearer {merchant.publishable_key}\r\n"
        f"X-Client-Secret: {secret}\r\n\r\n".encode()
    )
    assert (response.status, problem(response)["code"]) == (401, "client_secret_invalid")


async def test_a_create_repeated_after_a_move_gives_the_first_intent(two: OverTwo) -> None:
    """From the shard where it was created, client secret included; a new key creates on the new."""
    merchant = await two.merchant(FIRST)
    key = {"signed_Idempotency_Key": "order-1"}
    first = await two.ask(merchant, "POST", "/payment-intents", ORDER, **key)
    await two.move(merchant, 1)
    assert home(await two.api.create(merchant)) == 1
    again = await two.ask(merchant, "POST", "/payment-intents", ORDER, **key)
    assert again.headers["idempotent-replayed"] == "true"
    assert json.loads(again.body) == json.loads(first.body)
    other = await two.ask(merchant, "POST", "/payment-intents", ORDER | {"currency": "eur"}, **key)
    assert problem(other)["code"] == "idempotency_key_reused"
    # The first intent is charged where it is.
    target = f"/payment-intents/{json.loads(first.body)['id']}/transactions"
    assert (await two.ask(merchant, "POST", target, SEALED_CHARGE)).status == 200
    assert len(two.api.switches[0].requests) == 1


async def test_a_reference_is_held_over_a_move(two: OverTwo) -> None:
    """Otherwise a merchant that retries on a new intent would charge twice."""
    merchant = await two.merchant(SECOND)
    holder = await two.api.create(merchant, merchantReference="order-1")
    await two.move(merchant, 0)
    assert home(await two.api.create(merchant, merchantReference="order-2")) == 0
    response = await two.ask(
        merchant, "POST", "/payment-intents", ORDER | {"merchantReference": "order-1"}
    )
    document = problem(response)
    assert document["code"] == "merchant_reference_in_use"
    assert document["errors"][0]["detail"] == holder["id"]


async def test_a_key_is_used_once_whatever_shard_its_intents_are_on(two: OverTwo) -> None:
    """For a merchant that has moved, the other shard is asked; the switch hears nothing of it."""
    merchant = await two.merchant(FIRST)
    before = await two.api.create(merchant)
    first = {"signed_Idempotency_Key": "order-1"}
    await two.ask(merchant, "POST", "/payment-intents", ORDER, **first)
    await two.move(merchant, 1)
    second = {"signed_Idempotency_Key": "order-2"}
    created = await two.ask(merchant, "POST", "/payment-intents", ORDER, **second)
    after = json.loads(created.body)
    assert (home(before), home(after)) == (0, 1)
    for intent, used, body in (
        (after, first, SEALED_CHARGE),
        (after, first, {"type": "refund", "amountInCents": 5}),
        (before, second, {"type": "capture"}),
    ):
        target = f"/payment-intents/{intent['id']}/transactions"
        response = await two.ask(merchant, "POST", target, body, **used)
        assert (response.status, problem(response)["code"]) == (409, "idempotency_key_reused")
    assert [switch.requests for switch in two.api.switches] == [[], []]
    for intent in (before, after):
        target = f"/payment-intents/{intent['id']}/transactions"
        assert (await two.ask(merchant, "POST", target, SEALED_CHARGE)).status == 200
    assert [len(switch.requests) for switch in two.api.switches] == [1, 1]


async def test_a_former_owner_is_asked_for_keys_long_after_the_move(two: OverTwo) -> None:
    """It takes new ones as long as it has payments to capture and refund, which is over a year."""
    merchant = await two.merchant(FIRST)
    key = {"signed_Idempotency_Key": "order-1"}
    await two.ask(merchant, "POST", "/payment-intents", ORDER, **key)
    await two.move(merchant, 1)
    await two.ledgers.superusers[0].script(
        "UPDATE bucket_tenures SET until = now() - interval '40 days' "
        f"WHERE bucket = {bucket_of(merchant.merchant_id)}"
    )
    after = await two.api.create(merchant)
    target = f"/payment-intents/{after['id']}/transactions"
    for path, body in (
        ("/payment-intents", ORDER | {"currency": "eur"}),
        (target, SEALED_CHARGE),
    ):
        response = await two.ask(merchant, "POST", path, body, **key)
        assert problem(response)["code"] == "idempotency_key_reused"
    assert [switch.requests for switch in two.api.switches] == [[], []]


async def test_an_old_map_hides_no_key(two: OverTwo) -> None:
    """An intent on a shard that the map has not heard of: the map is read before others are."""
    merchant = await two.merchant(FIRST)
    key = {"signed_Idempotency_Key": "order-1"}
    await two.ask(merchant, "POST", "/payment-intents", ORDER, **key)
    await two.move(merchant, 1)
    place = await two.ledgers.place(bucket_of(merchant.merchant_id))
    intent_id = UUID7Source(lambda: 1, bytes, shard=1).next()
    row = intent_at(merchant.merchant_id, place, intent_id=intent_id)
    assert isinstance(await two.ledgers.create(row, 1), Created)
    target = f"/payment-intents/{public_id('pi', intent_id)}/transactions"
    response = await two.ask(merchant, "POST", target, SEALED_CHARGE, **key)
    assert problem(response)["code"] == "idempotency_key_reused"
    assert (await two.ask(merchant, "POST", target, SEALED_CHARGE)).status == 200


async def test_an_old_map_leads_no_request_astray(two: OverTwo) -> None:
    """Moved there, back, and there again behind the api's back: it follows each time."""
    merchant = await two.merchant(FIRST)
    homes = [home(await two.api.create(merchant))]
    for to_shard in (1, 0, 1):
        await two.move(merchant, to_shard)
        homes.append(home(await two.api.create(merchant)))
    assert homes == [0, 1, 0, 1]


async def test_between_two_shards_nobody_creates_and_all_else_goes_on(two: OverTwo) -> None:
    """503 with Retry-After, the key unused; reading, charging and other merchants as ever."""
    merchant, neighbor = await two.merchant(FIRST), await two.merchant(FIRST)
    intent = await two.api.create(merchant)
    shards = two.ledgers.shards
    await shards.plan([bucket_of(merchant.merchant_id)], 1, **DEED)
    key = {"signed_Idempotency_Key": "order-1"}
    for kind in ("take", "hand_over"):
        step = await shards.decide()
        assert step is not None
        assert step.kind == kind
        await shards.perform(step)
        response = await two.ask(merchant, "POST", "/payment-intents", ORDER, **key)
        assert problem(response)["code"] == "merchant_moving"
        assert response.headers["retry-after"] == "1"
    target = f"/payment-intents/{intent['id']}"
    assert (await two.get(merchant, target))["id"] == intent["id"]
    charged = await two.ask(merchant, "POST", f"{target}/transactions", SEALED_CHARGE)
    assert charged.status == 200
    assert home(await two.api.create(neighbor)) == 0
    await shards.finish()
    response = await two.ask(merchant, "POST", "/payment-intents", ORDER, **key)
    assert response.status == 201
    assert "idempotent-replayed" not in response.headers
    assert home(json.loads(response.body)) == 1


async def test_a_list_goes_through_both_shards_newest_first(two: OverTwo) -> None:
    """Page by page, each intent once, whichever shard it is on."""
    merchant = await two.merchant(FIRST)
    created = []
    for to_shard in (1, 0, 1):
        created += [(await two.api.create(merchant))["id"] for _ in range(3)]
        await two.move(merchant, to_shard)
    created.append((await two.api.create(merchant))["id"])
    seen = await _pages(two, merchant, "limit=4")
    assert seen == created[::-1]
    assert {shard_of(parse_id("pi", one)) for one in seen} == {0, 1}


async def _pages(two: OverTwo, merchant: Merchant, query: str) -> list[str]:
    """The ids on all pages of a list."""
    seen, cursor = [], ""
    while True:
        page = await two.get(merchant, f"/payment-intents?{query}{cursor}")
        seen += [one["id"] for one in page["data"]]
        if page["nextCursor"] is None:
            return seen
        cursor = f"&after={page['nextCursor']}"


async def test_what_is_looked_for_is_found_on_both_shards(two: OverTwo) -> None:
    """By amount and by metadata, in one order; by a reference, where it was created."""
    merchant = await two.merchant(FIRST)
    gold: list[str] = []
    for to_shard in (1, 0):
        for tier in ("gold", "silver", "gold"):
            members = {"metadata": {"tier": tier}, "merchantReference": f"{tier}-{len(gold)}"}
            amount = 700 if tier == "gold" else 800
            made = await two.api.create(merchant, amountInCents=amount, **members)
            gold += [made["id"]] if tier == "gold" else []
        await two.move(merchant, to_shard)
    assert {shard_of(parse_id("pi", one)) for one in gold} == {0, 1}
    for query in ("metadata[tier]=gold", "amountInCents=700", "amountMax=700&status=created"):
        assert await _pages(two, merchant, f"limit=1&{query}") == gold[::-1], query
    for place, id_ in enumerate(gold):
        assert await _pages(two, merchant, f"merchantReference=gold-{place}") == [id_]


async def test_a_balance_adds_up_over_both_shards(two: OverTwo) -> None:
    """What each shard has booked for the merchant, by currency."""
    merchant = await two.merchant(FIRST)
    for session, credits_minor in zip(two.ledgers.superusers, (700, 35), strict=True):
        await session.script(
            "INSERT INTO accounts (id, merchant_id, credits_minor, live, purpose, currency) VALUES"
            f" ('{IDS.next().hex()}', '{merchant.merchant_id.hex()}', {credits_minor}, false,"
            " 'merchant_pending', 'usd')"
        )
    [balance] = (await two.get(merchant, "/balance"))["data"]
    assert (balance["currency"], balance["amountPending"]) == ("usd", 735)


@pytest.mark.parametrize("code", ["insufficient_storage", "overloaded"])
async def test_a_shard_that_can_record_nothing_stops_its_own_merchants_alone(
    two: OverTwo, code: str
) -> None:
    """Its disk is full, or its stream far behind; the other shard creates as ever."""
    here, there = await two.merchant(FIRST), await two.merchant(SECOND)
    shard = two.api.application.shards[1]
    (shard.heed_storage if code == "insufficient_storage" else shard.heed_stream)(True)
    response = await two.ask(there, "POST", "/payment-intents", ORDER)
    assert problem(response)["code"] == code
    assert home(await two.api.create(here)) == 0


async def test_a_shard_that_is_away_takes_its_own_merchants_with_it_alone(
    two: OverTwo, postgres: PostgresServer, dsns: list[LedgerDSN]
) -> None:
    """Others create, read, list and see their balance; who has payments there is told so."""
    here, there, moved = [await two.merchant(of) for of in (FIRST, SECOND, SECOND)]
    intent = await two.api.create(here)
    await two.api.create(moved)
    await two.move(moved, 0)
    later = await two.api.create(moved)
    async with away(postgres, dsns[1]):
        assert home(await two.api.create(here)) == 0
        assert (await two.get(here, f"/payment-intents/{intent['id']}"))["id"] == intent["id"]
        assert len((await two.get(here, "/payment-intents"))["data"]) == 2
        assert (await two.get(here, "/balance"))["data"] == []
        for merchant, target in (
            (there, "/payment-intents"),
            (moved, "/payment-intents"),
            (moved, "/balance"),
        ):
            response = await two.ask(merchant, "GET", target)
            assert problem(response)["code"] == "ledger_unavailable"
            assert response.headers["retry-after"] == "1"
        target = f"/payment-intents/{intent['id']}/transactions"
        assert (await two.ask(here, "POST", target, SEALED_CHARGE)).status == 200
        for target, body in (
            ("/payment-intents", ORDER),
            (f"/payment-intents/{later['id']}/transactions", SEALED_CHARGE),
        ):
            response = await two.ask(moved, "POST", target, body)
            assert problem(response)["code"] == "ledger_unavailable"
        assert len(two.api.switches[0].requests) == 1
    assert home(await two.api.create(there)) == 1


async def test_without_the_first_shard_what_the_others_know_goes_on(
    two: OverTwo, postgres: PostgresServer, dsns: list[LedgerDSN]
) -> None:
    """Creating and reading do; whether a list or a balance would be whole is told at once."""
    here, merchant = await two.merchant(FIRST), await two.merchant(SECOND)
    await two.api.create(here)
    intent = await two.api.create(merchant)
    async with away(postgres, dsns[0]):
        assert home(await two.api.create(merchant)) == 1
        target = f"/payment-intents/{intent['id']}"
        assert (await two.get(merchant, target))["id"] == intent["id"]
        for target in ("/payment-intents", "/balance"):
            with trio.fail_after(10):
                response = await two.ask(merchant, "GET", target)
            assert problem(response)["code"] == "ledger_unavailable"
            assert response.headers["retry-after"] == "1"
    assert home(await two.api.create(here)) == 0
    assert len((await two.get(merchant, "/payment-intents"))["data"]) == 2
