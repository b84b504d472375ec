"""What goes wrong between database and stream leaves no gap, no duplicate, and no silence."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
import trio

from ledger.pgtypes import text_, uuid_
from ledger.stream.backend import Batch, Writer
from ledger.stream.errors import StreamFatalError
from ledger.stream.open import stream_writer
from ledger.stream.record import VERSION, Mark, Position, pack_head
from tests.support.relay import (
    ATTEMPTS_SQL,
    BUMP_SQL,
    INTENTS_SQL,
    OUTCOMES_SQL,
    WITHIN_S,
    RelayHarness,
)


async def _fed(relaying: RelayHarness) -> None:
    """Have a stream that holds something, and a slot."""
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.sql(INTENTS_SQL.format(count=4))
        await relaying.sql(ATTEMPTS_SQL)
        await relaying.caught_up(relay)


async def _findings(relaying: RelayHarness, kind: str) -> list[str]:
    rows = await relaying.rows(
        "SELECT detail ->> 'finding' FROM exceptions WHERE kind = $1::text ORDER BY id",
        text_(kind),
    )
    return [row[0] for row in rows]


async def _advance_slot(relaying: RelayHarness) -> None:
    await relaying.rows(
        "SELECT 1 FROM pg_replication_slot_advance($1::text::name, pg_current_wal_lsn())",
        text_(relaying.slot),
    )


async def _remake_slot(relaying: RelayHarness) -> None:
    await relaying.drop_slot()
    await relaying.rows(
        "SELECT 1 FROM pg_create_logical_replication_slot($1::text::name, 'pgoutput')",
        text_(relaying.slot),
    )


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        (RelayHarness.drop_slot, "slot_missing"),
        (_advance_slot, "slot_ahead"),
        (_remake_slot, "slot_ahead"),
    ],
    ids=["dropped", "advanced", "recreated"],
)
async def test_a_slot_that_forgot_is_made_up_for_from_the_tables(
    relaying: RelayHarness, fault: Any, finding: str
) -> None:
    """What was committed meanwhile comes once, marked as repaired, and the operator is told."""
    await _fed(relaying)
    await relaying.sql(OUTCOMES_SQL)
    await fault(relaying)
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.sql(BUMP_SQL)
        await relaying.caught_up(relay)
        assert relay.health.repairs_total == 1
    await relaying.prove()
    repaired = [table for table, record in await relaying.stream() if record.is_repair]
    assert repaired == ["outcomes"] * 4
    assert await _findings(relaying, "relay_repaired") == [finding]


async def test_a_gap_of_nothing_is_told_all_the_same(relaying: RelayHarness) -> None:
    """The stream lacks nothing, but nobody could know before it was compared."""
    await _fed(relaying)
    await relaying.drop_slot()
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
    await relaying.prove()
    assert await _findings(relaying, "relay_repaired") == ["slot_missing"]


async def _elsewhere(relaying: RelayHarness, **changes: int) -> None:
    """Have the stream come from another cluster, timeline or time than the database."""
    writer = stream_writer(relaying.settings(), relaying.folder)
    mark = await writer.open()
    assert mark is not None
    await writer.append(Batch([], [], msgspec.structs.replace(mark, **changes)))
    await writer.aclose()


async def _lose_stream(relaying: RelayHarness) -> None:
    relaying.folder = relaying.folder / "empty"


async def _other_system(relaying: RelayHarness) -> None:
    await _elsewhere(relaying, system_identifier=42)


async def _begin_anew(relaying: RelayHarness) -> None:
    """What a server does that starts on an older copy, before anybody can write."""
    await relaying.sql("CHECKPOINT")


async def _other_timeline(relaying: RelayHarness) -> None:
    await _begin_anew(relaying)
    await _elsewhere(relaying, timeline=7)


async def _stream_ahead(relaying: RelayHarness) -> None:
    await _begin_anew(relaying)
    await _elsewhere(relaying, end_lsn=1 << 50)


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        (_lose_stream, "stream_missing"),
        (_other_system, "other_system"),
        (_other_timeline, "other_timeline"),
        (_stream_ahead, "stream_ahead"),
    ],
    ids=["stream lost", "other system", "other timeline", "older database"],
)
async def test_another_database_is_not_streamed_from_without_an_operators_word(
    relaying: RelayHarness, fault: Any, finding: str
) -> None:
    """Nothing is appended until the very case is approved; then the stream lacks nothing.

    Consumers read a stream that begins anew from its beginning, and any other where they are.
    """
    await _fed(relaying)
    await relaying.sql("INSERT INTO stream_cursors VALUES ('readers', 0, 0, 7)")
    await fault(relaying)
    await relaying.sql(OUTCOMES_SQL)
    async with relaying.running() as relay:
        await relaying.until(relay, "refused")
        before = relay.writer.next_offset
        await trio.sleep(0.3)  # several looks
        assert (relay.health.state, relay.writer.next_offset) == ("refused", before)
        assert await _findings(relaying, "relay_refused") == [finding]
        approve = "SELECT operator_relay_repair($1::text, $2::uuid, 'ops', 'it is the right one')"
        assert await relaying.value(approve, text_(relaying.slot), os.urandom(16)) == "not_refused"
        case = await relaying.value(
            "SELECT case_id FROM relays WHERE slot = $1::text", text_(relaying.slot)
        )
        assert await relaying.value(approve, text_(relaying.slot), uuid_(case)) == ""
        await relaying.until(relay, "streaming")
        await relaying.sql(BUMP_SQL)
        await relaying.caught_up(relay)
    await relaying.prove()
    approved = await relaying.value("SELECT approved_case FROM relays")
    assert approved is None  # used up: the next case needs a word of its own
    cursor = await relaying.value(
        "SELECT next_offset FROM stream_cursors WHERE consumer_group = 'readers'"
    )
    assert cursor == (0 if finding == "stream_missing" else 7)


async def test_an_older_database_that_grows_is_still_older(relaying: RelayHarness) -> None:
    """Its WAL comes to where the stream ends, with other commits; that is nobody's word."""
    await _fed(relaying)
    flushed = await relaying.value("SELECT pg_current_wal_flush_lsn()")
    await _elsewhere(relaying, end_lsn=flushed + 65_536)
    async with relaying.running() as relay:
        await relaying.until(relay, "refused")
        await relaying.sql(INTENTS_SQL.format(count=1_000))
        assert await relaying.value("SELECT pg_current_wal_flush_lsn()") > flushed + 65_536
        sessions = relay.health.sessions_total
        with trio.fail_after(WITHIN_S):
            while relay.health.sessions_total < sessions + 2:
                await trio.sleep(0.01)
        assert relay.health.state == "refused"
    async with relaying.running() as relay:
        await relaying.until(relay, "refused")
    assert await _findings(relaying, "relay_refused") == ["stream_ahead"]


async def _lose_the_next_attempt(relaying: RelayHarness) -> bytes:
    """Have the stream hold an attempt that the database has never had; its id."""
    await _begin_anew(relaying)
    flushed = await relaying.value("SELECT pg_current_wal_flush_lsn()")
    held = [record for table, record in await relaying.stream() if table == "attempts"][-1]
    attempt_id = os.urandom(16)
    old_id = await relaying.value(
        "SELECT id FROM attempts WHERE intent_id = $1::uuid", uuid_(held.intent_id)
    )
    head = pack_head(
        VERSION,
        held.kind[0],
        held.flags,
        0,
        flushed + 32_768,
        held.committed_at_us,
        held.descriptor,
        held.intent_id,
    )
    writer = stream_writer(relaying.settings(), relaying.folder)
    mark = await writer.open()
    assert mark is not None
    mark = msgspec.structs.replace(mark, end_lsn=flushed + 65_536)
    await writer.append(Batch([head + held.change.replace(old_id, attempt_id)], [], mark))
    await writer.aclose()
    return attempt_id


@pytest.mark.parametrize("is_second", [False, True], ids=["first stream", "second stream"])
async def test_what_an_older_database_lost_is_lost_however_it_grows(
    relaying: RelayHarness, *, is_second: bool
) -> None:
    """A row with the key of a lost record is told, though its commit lies behind that one's."""
    relaying.is_second = is_second
    await _fed(relaying)
    attempt_id = await _lose_the_next_attempt(relaying)
    async with relaying.running() as relay:
        await relaying.until(relay, "refused")
        lost_at = relay.writer.next_offset - 1
        await relaying.sql(INTENTS_SQL.format(count=1_000))
        last = "SELECT max(id::text)::uuid FROM attempts"
        update = f"UPDATE attempts SET id = $1::uuid WHERE id = ({last})"
        await relaying.rows(update, uuid_(attempt_id))
    async with relaying.running() as relay:
        await relaying.until(relay, "refused")
        approve = "SELECT operator_relay_repair(slot, case_id, 'ops', '') FROM relays"
        assert await relaying.value(approve) == ""
        await relaying.caught_up(relay)
    wanted = [] if is_second else [(lost_at, lost_at + 1)]
    assert await relaying.rows("SELECT lost_from, lost_until FROM restores") == wanted
    told = [
        record.is_repair for _, record in await relaying.stream() if attempt_id in record.change
    ]
    assert told == [False, True]


async def test_rows_that_the_database_has_lost_are_counted(relaying: RelayHarness) -> None:
    """After a restore the stream holds payments that the tables do not; a repair says how many."""
    await _fed(relaying)
    await relaying.sql("ALTER PUBLICATION turnout_events SET (publish = 'insert, update')")
    await relaying.sql("DELETE FROM attempts WHERE id = (SELECT max(id::text)::uuid FROM attempts)")
    await relaying.drop_slot()
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
    lost = await relaying.value(
        "SELECT (detail ->> 'not_in_tables')::integer FROM exceptions WHERE kind = 'relay_repaired'"
    )
    assert lost == 1


async def test_a_repair_in_passes_finds_the_same(relaying: RelayHarness) -> None:
    """Where the keys do not fit into memory the work is divided, not skipped."""
    await _fed(relaying)
    await relaying.sql(OUTCOMES_SQL)
    await relaying.sql(INTENTS_SQL.format(count=40))
    await relaying.drop_slot()
    async with relaying.running(repair_keys_max=3, repair_window_intents=7) as relay:
        await relaying.until(relay, "streaming")
    await relaying.prove()


async def test_an_idle_slot_moves(relaying: RelayHarness) -> None:
    """WAL of tables that nobody publishes is not pinned, though no record comes of it."""
    await relaying.sql("CREATE TABLE scratch (a integer)")
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.sql("INSERT INTO scratch SELECT generate_series(1, 10000)")
        lsn = await relaying.value("SELECT pg_current_wal_insert_lsn()")
        confirmed = (
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1::text"
        )
        with trio.fail_after(WITHIN_S):
            while await relaying.value(confirmed, text_(relaying.slot)) < lsn:
                await trio.sleep(0.02)
        assert relay.health.records_total == 0
        assert relay.health.durable_lsn >= lsn  # the stream moved first


class _Wrapped:
    """A writer that does something before it appends."""

    def __init__(self, inner: Writer) -> None:
        self.inner = inner

    @property
    def next_offset(self) -> int:
        return self.inner.next_offset

    @property
    def last(self) -> Position | None:
        return self.inner.last

    async def open(self) -> Mark | None:
        return await self.inner.open()

    async def append(self, batch: Batch) -> int:
        await self.before(batch)
        return await self.inner.append(batch)

    async def before(self, batch: Batch) -> None:
        """What this writer adds."""

    async def aclose(self) -> None:
        await self.inner.aclose()


class _Slow(_Wrapped):
    async def before(self, batch: Batch) -> None:
        if batch.records:
            await trio.sleep(1.2)


async def test_a_slow_disk_loses_neither_session_nor_bound(relaying: RelayHarness) -> None:
    """The server hears of us while an append takes longer than it would wait in silence."""
    relaying.wrap = _Slow
    async with relaying.running(
        sender_timeout_s=0.5, buffer_records_max=300, batch_records_max=200
    ) as relay:
        await relaying.until(relay, "streaming")
        for _ in range(12):
            await relaying.sql(INTENTS_SQL.format(count=100))
        sessions = relay.health.sessions_total
        await trio.sleep(1.5)
        assert 0 < relay.health.next_offset < 1_200
        assert relay.health.sessions_total == sessions
        assert relay.health.buffered_records_peak < 1_000  # what one look at the socket can add
        assert relay.health.lag_s > 1.0


class _Broken(_Wrapped):
    async def before(self, batch: Batch) -> None:
        if batch.records:
            raise StreamFatalError("fdatasync failed")


async def test_a_failed_sync_ends_the_relay(relaying: RelayHarness) -> None:
    """It is not tried again, and the slot is not told anything."""
    relaying.wrap = _Broken
    with pytest.RaisesGroup(StreamFatalError, flatten_subgroups=True):
        async with relaying.running() as relay:
            await relaying.until(relay, "streaming")
            await relaying.sql(INTENTS_SQL.format(count=1))
            await trio.sleep(WITHIN_S)
    relaying.wrap = lambda writer: writer
    async with relaying.running() as relay:
        await relaying.caught_up(relay)
    await relaying.prove()


async def test_a_lost_session_is_made_up_for(relaying: RelayHarness) -> None:
    """The walsender is ended under load, again and again: nothing is lost, nothing comes twice."""
    async with relaying.running(batch_records_max=7) as relay:
        await relaying.until(relay, "streaming")
        for _ in range(6):
            await relaying.sql(INTENTS_SQL.format(count=50))
            terminate = (
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                " WHERE slot_name = $1::text AND active"
            )
            with trio.fail_after(WITHIN_S):
                while not await relaying.rows(terminate, text_(relaying.slot)):
                    await trio.sleep(0.005)
            await relaying.sql(BUMP_SQL)
        await relaying.caught_up(relay)
        assert relay.health.sessions_total > 3
    await relaying.prove()
