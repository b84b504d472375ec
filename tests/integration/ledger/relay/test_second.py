"""Two relays on one Postgres: whatever happens to either, both streams come to the same records."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import msgspec
import pytest
import trio

from chassis.crash_points import disarm
from ledger.comparison.comparing import Comparison
from ledger.pgtypes import text_
from ledger.relay.ledger_side import read_slot
from ledger.relay.second import drop_unused_slot
from ledger.relay.shedding import PinnedWAL
from ledger.stream.cursors import begin_cursor, read_cursor
from tests.support.comparing import compare
from tests.support.relay import (
    ATTEMPTS_SQL,
    BUMP_SQL,
    INTENTS_SQL,
    OUTCOMES_SQL,
    WITHIN_S,
    RelayHarness,
)

ROOT = Path(__file__).parents[4]
KILLS = 3
BUMP_NEWEST_SQL = """
UPDATE payment_intents SET version = version + 1
WHERE id IN (SELECT id FROM payment_intents ORDER BY id DESC LIMIT 10)
"""


@pytest.fixture
async def second(relaying: RelayHarness) -> AsyncIterator[RelayHarness]:
    """Another relay on the same database, with a slot and a stream of its own."""
    slot = f"{relaying.slot}_second"
    harness = attrs.evolve(
        relaying,
        folder=relaying.folder / "second",
        slot=slot,
        limits=msgspec.structs.replace(relaying.limits, slot=slot, batch_records_max=10),
        shapes={},
        is_second=True,
    )
    try:
        yield harness
    finally:
        with trio.CancelScope(shield=True):
            await harness.drop_slot()


async def _both(relaying: RelayHarness, second: RelayHarness, *changes: str) -> None:
    """Run both relays, change something, and wait until both have it."""
    async with relaying.running() as one, second.running() as other:
        for harness, relay in ((relaying, one), (second, other)):
            await harness.until(relay, "streaming")
        for sql in changes:
            await relaying.sql(sql)
        for harness, relay in ((relaying, one), (second, other)):
            await harness.caught_up(relay)


def _compared(relaying: RelayHarness, second: RelayHarness) -> Comparison:
    return compare(relaying.folder, second.folder)


async def test_two_relays_of_one_wal_come_to_one_root(
    relaying: RelayHarness, second: RelayHarness
) -> None:
    """Inserts and updates, in transactions that one of them stores in several batches."""
    await _both(relaying, second, INTENTS_SQL.format(count=25), ATTEMPTS_SQL, BUMP_SQL)
    await _both(relaying, second, OUTCOMES_SQL, BUMP_SQL, INTENTS_SQL.format(count=3))
    found = _compared(relaying, second)
    assert found.differences == []
    assert found.current_range().leaves == found.leaves == 128
    assert found.late_side() == ""


async def test_a_second_relay_that_starts_later_is_compared_from_its_start(
    relaying: RelayHarness, second: RelayHarness
) -> None:
    """What it read from the tables are the rows that the first one's changes left."""
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        for sql in (INTENTS_SQL.format(count=10), ATTEMPTS_SQL, BUMP_SQL, BUMP_SQL):
            await relaying.sql(sql)
        await relaying.caught_up(relay)
    await _both(relaying, second, OUTCOMES_SQL, BUMP_SQL)
    found = _compared(relaying, second)
    assert found.differences == []
    assert found.leaves == 20
    (gap,) = found.gaps
    assert (gap.repaired_second, gap.compared) == (20, True)


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
async def test_a_lost_slot_is_a_gap_and_no_difference(
    relaying: RelayHarness, second: RelayHarness, which: int
) -> None:
    """Its relay repairs from the tables; of an intent that changed twice it lacks a version."""
    await _both(relaying, second, INTENTS_SQL.format(count=10), ATTEMPTS_SQL)
    lost, other = (relaying, second) if which == 0 else (second, relaying)
    await lost.drop_slot()
    async with other.running() as relay:
        await other.until(relay, "streaming")
        for sql in (BUMP_SQL, OUTCOMES_SQL, BUMP_SQL):
            await other.sql(sql)
        await other.caught_up(relay)
    await _both(relaying, second, BUMP_SQL)
    found = _compared(relaying, second)
    assert found.differences == []
    gap = found.gaps[-1]
    repaired = (gap.repaired_first, gap.repaired_second)
    assert (repaired[which], repaired[1 - which], gap.compared) == (20, 0, True)
    assert [one.leaves for one in found.ranges] == [20]
    assert found.current_range().leaves == 10


@asynccontextmanager
async def _process(harness: RelayHarness, arming: Path) -> AsyncIterator[trio.Process]:
    command = [
        *(sys.executable, "-m", "tests.support.relay_process"),
        *(harness.dsn("turnout_relay"), str(harness.folder), harness.slot),
        *(str(arming), "7"),
    ]
    process = await trio.lowlevel.open_process(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
async def test_either_may_be_killed_under_load(
    relaying: RelayHarness, second: RelayHarness, which: int, tmp_path: Path
) -> None:
    """At any moment, again and again; in the end the roots are equal and no record is repaired."""
    await _both(relaying, second)
    killed, other = (relaying, second) if which == 0 else (second, relaying)
    disarm(arming := tmp_path / "arming")
    async with other.running() as relay:
        for _ in range(KILLS):
            before = len(await killed.stream())
            async with _process(killed, arming):
                with trio.fail_after(WITHIN_S):
                    while len(await killed.stream()) < before + 60:
                        await relaying.sql(INTENTS_SQL.format(count=20) + ";" + BUMP_NEWEST_SQL)
                        await trio.sleep(0.02)
        await other.caught_up(relay)
    await _both(relaying, second, ATTEMPTS_SQL)
    found = _compared(relaying, second)
    assert found.differences == []
    assert found.gaps_total == 1  # the beginning
    assert found.leaves == len(await relaying.stream()) == len(await second.stream())


async def test_a_second_relay_leaves_consumers_alone(
    relaying: RelayHarness, second: RelayHarness
) -> None:
    """Its first start begins another stream than the one that their cursors are about."""
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await begin_cursor(relay.runner, "postings", 0, {0: 7})
        async with second.running() as other:
            await second.until(other, "streaming")
        assert await read_cursor(relay.runner, "postings", 0) == {0: 7}


async def test_a_slot_that_nobody_needs_is_dropped(
    relaying: RelayHarness, second: RelayHarness
) -> None:
    """Only where there is no second relay, and nobody uses it."""
    limits = msgspec.structs.replace(relaying.limits, second_slot=second.slot)
    async with relaying.running() as relay:
        async with second.running() as other:
            await second.until(other, "streaming")
            await drop_unused_slot(relay.runner, limits)
            assert await read_slot(relay.runner, second.slot) is not None
        with trio.fail_after(WITHIN_S):
            while (slot := await read_slot(relay.runner, second.slot)) is None or slot.active:
                await trio.sleep(0.01)
        needed = msgspec.structs.replace(limits, second=True)
        await drop_unused_slot(relay.runner, needed)
        assert await read_slot(relay.runner, second.slot) is not None
        await drop_unused_slot(relay.runner, limits)
        assert await read_slot(relay.runner, second.slot) is None


async def test_the_slot_that_pins_more_counts_for_shedding(relaying: RelayHarness) -> None:
    """A second relay that is gone pins WAL like the first; without one its slot is nobody's."""
    await relaying.rows(
        "SELECT 1 FROM pg_create_logical_replication_slot($1::text::name, 'pgoutput')",
        text_(relaying.slot),
    )
    await relaying.sql(INTENTS_SQL.format(count=5_000))
    limits = msgspec.structs.replace(relaying.limits, slot="no_such_slot")
    alone = PinnedWAL(relaying.superuser, limits)
    await alone.look()
    assert alone.ratio == 0.0
    limits = msgspec.structs.replace(limits, second=True, second_slot=relaying.slot)
    both = PinnedWAL(relaying.superuser, limits)
    await both.look()
    assert both.ratio > 0.0
