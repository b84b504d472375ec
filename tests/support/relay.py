"""A relay on a real Postgres, its stream in a folder, and rows for it to carry."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import trio
from attrs import define, field

from chassis.settings import Settings
from chassis.settings.tree import Ledger, Stream
from chassis.settings.tree import Relay as Limits
from ledger.connection import Connection
from ledger.pgoutput import RowShape, read_relation, read_tuple
from ledger.pgtypes import text_
from ledger.pool import Pool
from ledger.queries import Query
from ledger.relay.monitor import Monitor
from ledger.relay.relay import Relay
from ledger.stream.backend import Writer
from ledger.stream.open import stream_reader, stream_writer
from ledger.stream.record import Record, parse_record
from tests.support.postgres import LedgerDSN

LIMITS = Limits(
    batch_interval_ms=1.0,
    feedback_interval_s=0.05,
    heartbeat_s=0.2,
    idle_mark_interval_s=0.05,
    sample_interval_s=0.05,
    reconnect_min_s=0.01,
    reconnect_max_s=0.05,
    refusal_check_s=0.05,
    slot_timeout_s=20.0,
)
SEGMENTS = Stream(segment_bytes=4_194_304, batch_bytes_max=2_097_152, read_wait_s=0.05)
LEDGER = Ledger(reconnect_min_s=0.01, reconnect_max_s=0.05)
WITHIN_S = 15.0
# What names an event, by table.
KEYS = {
    "payment_intents": "id, version",
    "transactions": "intent_id, id",
    "attempts": "intent_id, id",
    "outcomes": "intent_id, attempt_id, phase",
    "postings": "intent_id, source_event, leg",
    "restores": "id",
}
_NUMBERS = count()

INTENTS_SQL = """
INSERT INTO payment_intents (id, merchant_id, amount_minor, live, currency)
SELECT uuidv7(), gen_random_uuid(), 100, false, 'usd' FROM generate_series(1, {count})
"""
ATTEMPTS_SQL = """
INSERT INTO attempts (
    intent_id, id, transaction_id, amount_minor, deadline_at, epoch, owner, network, acquirer_id,
    mti, stan, rrn, de7, currency
)
SELECT id, uuidv7(), gen_random_uuid(), 1, now(), 1, 'switch-0', 'vsim', '4', '0200', '000001',
    '0ABCDEFGHIJK', '0102030405', 'usd'
FROM payment_intents
"""
OUTCOMES_SQL = """
INSERT INTO outcomes (
    intent_id, attempt_id, transaction_id, request_id, at, intent_version, epoch, phase, owner,
    actor, result, from_status, to_status, intent_status
)
SELECT intent_id, id, transaction_id, gen_random_uuid(), now(), 2, 1, 1, 'switch-0',
    'network:vsim', 'approved', 'pending', 'succeeded', 'succeeded'
FROM attempts
"""
BUMP_SQL = "UPDATE payment_intents SET version = version + 1"


@define
class RelayHarness:
    """One database, one slot, one stream, and relays on them, one after the other.

    Attributes:
        dsn: of the database.
        folder: the data directory of the stream.
        slot: unique in the session's server.
        limits: of the relays to come.
    """

    dsn: LedgerDSN
    folder: Path
    slot: str
    limits: Limits
    superuser: Connection
    shapes: dict[bytes, RowShape] = field(factory=dict)
    wrap: Callable[[Writer], Writer] = lambda writer: writer
    is_second: bool = False

    def settings(self) -> Settings:
        """As a process would get them."""
        return Settings(relay=self.limits, stream=SEGMENTS, ledger=LEDGER)

    async def sql(self, text: str) -> None:
        """Do anything to the database, as its superuser."""
        await self.superuser.script(text)

    async def rows(self, text: str, *params: bytes) -> list[tuple[Any, ...]]:
        """Ask the database anything."""
        query = Query(f"ask_{next(_NUMBERS)}", text)
        return (await self.superuser.run(query, params)).rows()

    async def value(self, text: str, *params: bytes) -> Any:
        """Ask the database for one value."""
        return (await self.rows(text, *params))[0][0]

    @asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[Relay]:
        """Run a relay and its monitor during the block."""
        limits = msgspec.structs.replace(self.limits, **changes)
        settings = msgspec.structs.replace(self.settings(), relay=limits)
        dsn = self.dsn("turnout_relay")
        pool = Pool(dsn, 2, settings=LEDGER, role_settings={})
        writer = self.wrap(stream_writer(settings, self.folder))
        relay = Relay(
            dsn=dsn,
            runner=pool,
            writer=writer,
            open_reader=partial(stream_reader, settings, self.folder),
            limits=limits,
            ledger=LEDGER,
            now_us=lambda: time.time_ns() // 1_000,
            is_second=self.is_second,
        )
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(pool.serve)
                await nursery.start(relay.run)
                monitor = Monitor(pool, relay.health, limits, pinned_bytes_max=0)
                nursery.start_soon(monitor.run)
                yield relay
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await writer.aclose()

    async def caught_up(self, relay: Relay) -> None:
        """Wait until everything that is committed now is in the stream."""
        lsn = await self.value("SELECT pg_current_wal_insert_lsn()")
        with trio.fail_after(WITHIN_S):
            while relay.health.state != "streaming" or relay.health.durable_lsn < lsn:
                await trio.sleep(0.005)

    async def until(self, relay: Relay, state: str) -> None:
        """Wait until the relay is in a state."""
        with trio.fail_after(WITHIN_S):
            while relay.health.state != state:
                await trio.sleep(0.005)

    async def stream(self) -> list[tuple[str, Record]]:
        """The whole stream: table and record."""
        found: list[tuple[str, Record]] = []
        shapes = self.shapes
        async with stream_reader(self.settings(), self.folder) as reader:
            cursor = await reader.high_water()
            end = cursor.get(0, 0)
            cursor = {}
            while len(found) < end:
                page = await reader.read(cursor, 1_000, 1_000_000)
                for name, descriptor in page.descriptors.items():
                    shapes[name] = read_relation(descriptor)[1]
                for _, offset, data in page.records:
                    assert offset == len(found)
                    record = parse_record(data)
                    found.append((shapes[record.descriptor].table, record))
                cursor = page.cursor
        return found

    async def prove(self) -> None:
        """See that the stream holds each event of the tables once, and nothing else.

        Every version of every intent is expected: use it where no repair lost one.
        """
        held: list[tuple[Any, ...]] = []
        for table, key in KEYS.items():
            found = await self.rows(f"SELECT {key} FROM {table}")
            held += [(table, *row) for row in found]
        told: list[tuple[Any, ...]] = []
        for table, record in await self.stream():
            shape = self.shapes[record.descriptor]
            cells, _ = read_tuple(record.change, 6, shape, table)
            names = [column.name for column in shape.columns]
            told.append((table, *(_value(cells[names.index(name)]) for name in _names(table))))
        versions = [event for event in told if event[0] == "payment_intents"]
        latest = {event[1]: event for event in sorted(versions)}
        wanted = [
            ("payment_intents", event[1], v)
            for event in latest.values()
            for v in range(1, event[2] + 1)
        ]
        assert sorted(versions) == sorted(wanted)
        others = [event for event in told if event[0] != "payment_intents"]
        assert sorted([*others, *latest.values()]) == sorted(held)

    async def drop_slot(self) -> None:
        """Remove the slot as an operator would, once nobody uses it."""
        active = "SELECT active FROM pg_replication_slots WHERE slot_name = $1::text"
        with trio.fail_after(WITHIN_S):
            while await self.rows(active, text_(self.slot)) == [(True,)]:
                await trio.sleep(0.01)
        await self.rows(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = $1::text",
            text_(self.slot),
        )


def _names(table: str) -> list[str]:
    return KEYS[table].split(", ")


def _value(cell: bytes | None) -> bytes | int:
    """A uuid as its bytes, a number as a number."""
    assert cell is not None
    return cell if len(cell) == 16 else int.from_bytes(cell, signed=True)
