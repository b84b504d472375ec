"""Several ledgers as the shards of one installation, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import trio
from attrs import define

from ledger.connection import Connection
from ledger.dsn import hot_settings
from ledger.intents import Intents
from ledger.pgtypes import text_
from ledger.queries import Query
from ledger.records import CreationVerdict, IntentRow, IntentToCreate
from ledger.shards.buckets import BUCKETS, bucket_of
from ledger.shards.directory import Place, read_directory
from ledger.shards.moving import Shards
from tests.support.ledger import IDS, LIMITS, intent
from tests.support.postgres import LedgerDSN

FIRST, SECOND = range(BUCKETS // 2), range(BUCKETS // 2, BUCKETS)  # as a first start shares them
DEED = {"operator": "ada", "note": "more room"}
LOCK_WITHIN_S = 10.0
_given: set[int] = set()  # tests share ledgers, and leave what they moved where it is
_AWAITED = Query(
    "awaited",
    "SELECT pid FROM pg_locks WHERE relation = 'bucket_fence'::regclass AND NOT granted"
    " AND mode = $1::text",
)
_OWNED = Query("owned", "SELECT bucket FROM bucket_fence WHERE owned")


@define
class ShardsHarness:
    """Ledgers with an administrator's and an api's session each.

    Attributes:
        shards: as operators move buckets between them.
        superusers: may do anything, for arranging and inspecting.
        reader: looks into the directory.
        intents: as the api creates on each, in the order of their numbers.
    """

    shards: Shards
    superusers: list[Connection]
    apis: list[Connection]
    reader: Connection
    intents: list[Intents]

    async def place(self, bucket: int) -> Place:
        """Where the directory has a bucket now."""
        return (await read_directory(self.reader)).place(bucket)

    async def create(self, row: IntentToCreate, shard: int) -> CreationVerdict:
        """Create one intent on one shard."""
        [verdict] = await self.intents[shard].create([row])
        return verdict

    async def move(self, merchant_id: bytes, to_shard: int) -> None:
        """Move a merchant's bucket, to the end."""
        await self.shards.plan([bucket_of(merchant_id)], to_shard, **DEED)
        assert await self.shards.finish() == 1

    async def awaited(self, mode: str) -> None:
        """Wait until somebody waits for such a lock on the fence of shard 0."""
        with trio.fail_after(LOCK_WITHIN_S):
            while not (await self.superusers[0].run(_AWAITED, [text_(mode)])).rows():
                await trio.sleep(0.005)

    async def creators(self, bucket: int) -> list[int]:
        """The shards whose fence lets a bucket create, in whatever epoch."""
        return [
            number
            for number, session in enumerate(self.superusers)
            if (bucket,) in (await session.run(_OWNED)).rows()
        ]


@asynccontextmanager
async def open_shards(dsns: Sequence[LedgerDSN]) -> AsyncIterator[ShardsHarness]:
    """Sessions on ledgers that are not founded as shards yet."""
    async with AsyncExitStack() as stack:

        async def session(dsn: str) -> Connection:
            connection = await Connection.open(
                dsn, role_settings=hot_settings(LIMITS), connect_timeout_s=10
            )
            stack.push_async_callback(connection.aclose)
            return connection

        superusers = [await session(dsn.superuser) for dsn in dsns]
        apis = [await session(dsn("turnout_api")) for dsn in dsns]
        admins = [await session(dsn("turnout_admin")) for dsn in dsns]
        reader = await session(dsns[0]("turnout_reader"))
        intents = [Intents(api, limits=LIMITS) for api in apis]
        yield ShardsHarness(Shards(admins), superusers, apis, reader, intents)


def merchant_in(buckets: range) -> bytes:
    """A merchant's id that falls into one of these buckets, which no other one did before."""
    while (bucket := bucket_of(merchant_id := IDS.next())) not in buckets or bucket in _given:
        pass
    _given.add(bucket)
    return merchant_id


def intent_at(merchant_id: bytes, place: Place, **changes: Any) -> IntentToCreate:
    """An intent as the api draws it for a bucket's place."""
    return intent(merchant_id, epoch=place.epoch, **changes)


def intent_row(intent_id: bytes, **changes: Any) -> IntentRow:
    """An intent as a read gives it: created, 24.99 USD."""
    fields: dict[str, Any] = {
        "intent_id": intent_id,
        "merchant_id": bytes(16),
        "live": False,
        "amount_minor": 2499,
        "currency": "usd",
        "status": "created",
        "capture_method": "automatic",
        "allow_partial": False,
        "capturable_minor": 0,
        "captured_minor": 0,
        "refunded_minor": 0,
        "disputed_minor": 0,
        "cancel_requested": False,
        "capture_before_us": None,
        "version": 1,
        "created_at_us": 1,
        "updated_at_us": 1,
        "client_secret_hash": bytes(32),
        "description": None,
        "metadata": None,
        "merchant_reference": None,
        "latest_transaction": None,
    }
    return IntentRow(**fields | changes)
