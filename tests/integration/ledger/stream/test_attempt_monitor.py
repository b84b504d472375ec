"""Attempts that nobody finished, provoked: told once, with their ids, and no others."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger.connection import Connection
from ledger.ids import public_id
from ledger.stream.attempt_monitor import GROUP, AttemptMonitor
from ledger.stream.backend import Batch, Cursor
from ledger.stream.cursors import read_cursor
from ledger.stream.record import Mark, position_of
from tests.support.capturing import begin_capture, captured, end_capture
from tests.support.ledger import LedgerHarness, charge, outcome
from tests.support.stream import SMALL, SegmentsBackend

LIMITS = msgspec.structs.replace(
    SMALL,
    segment_bytes=4_194_304,
    batch_bytes_max=1_048_576,
    read_wait_s=0.02,
    unfinished_grace_s=30.0,
    unfinished_look_s=0.0,
)
LATER_US = 60_000_000
TOLD = "SELECT attempt_id FROM exceptions WHERE kind = 'attempt_unfinished' ORDER BY id"


class Watched:
    """A ledger, a stream of what it commits, and a monitor whose clock can be set forward."""

    def __init__(self, ledger: LedgerHarness, folder: Path, session: Connection) -> None:
        self.ledger = ledger
        self.backend = SegmentsBackend(folder, LIMITS)
        self.session = session
        self.ahead_us = 0
        self.cursor: Cursor = {}

    async def stream(self) -> None:
        """Append what was committed."""
        found = await captured(self.ledger)
        descriptors = list({id_: one for _, known in found for id_, one in known.items()}.values())
        records = [data for data, _ in found]
        writer = self.backend.writer()
        await writer.open()
        mark = Mark(1, 1, position_of(records[-1]).commit_lsn + 1)
        await writer.append(Batch(records, descriptors, mark))
        await writer.aclose()

    async def watch(self, *, restarted: bool = False) -> AttemptMonitor:
        """Read to the end of the stream and look."""
        cursor = await read_cursor(self.session, GROUP, 0) if restarted else self.cursor
        async with self.backend.reader() as reader:
            monitor = AttemptMonitor(
                reader,
                self.session,
                limits=LIMITS,
                now_us=lambda: time.time_ns() // 1_000 + self.ahead_us,
            )
            for _ in range(3):
                cursor = await monitor.step(cursor)
        return monitor

    async def told(self) -> list[bytes]:
        """The attempts that exceptions were opened about."""
        return [attempt_id for (attempt_id,) in await self.ledger.rows(TOLD)]


@pytest.fixture
async def watched(ledger: LedgerHarness, tmp_path: Path) -> AsyncIterator[Watched]:
    """Nothing in the stream yet; the monitor has the relay's rights and no more."""
    await ledger.rows("DELETE FROM exceptions")
    await ledger.rows("DELETE FROM stream_cursors")
    await begin_capture(ledger)
    session = await Connection.open(ledger.dsn("turnout_relay"), connect_timeout_s=10)
    try:
        yield Watched(ledger, tmp_path, session)
    finally:
        await session.aclose()
        await end_capture(ledger)


async def _orphans(ledger: LedgerHarness, count: int, **changes: Any) -> list[bytes]:
    """Charges whose switch wrote commit 1 and never came back."""
    rows = [charge(of, **changes) for of in await ledger.created(count)]
    await ledger.charges.record(rows, lane="fast")
    return [row.attempt_id for row in rows]


async def test_an_orphan_is_told_with_its_ids(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exception, metric and log name it once its grace is over; finished attempts are nobody's."""
    await watched.ledger.charged(3)
    [orphan] = await _orphans(watched.ledger, 1)
    await watched.stream()
    assert len((await watched.watch())._attempts) == 1
    assert await watched.told() == []
    watched.ahead_us = LATER_US
    monitor = await watched.watch()
    assert await watched.told() == [orphan]
    assert (monitor.figures.unfinished, len(monitor._attempts)) == (1, 0)
    said = capsys.readouterr().err
    assert "attempt unfinished" in said
    assert public_id("att", orphan) in said


async def test_an_orphan_is_told_once(watched: Watched) -> None:
    """A restart reads again from the oldest open attempt, and tells nothing twice."""
    first, second = await _orphans(watched.ledger, 2)
    await watched.stream()
    await watched.watch()
    records = (await watched.ledger.rows("SELECT next_offset FROM stream_cursors"))[0][0]
    assert records > 0  # intents before the first attempt need not be read again
    watched.ahead_us = LATER_US
    for _ in range(3):
        await watched.watch(restarted=True)
        assert sorted(await watched.told()) == sorted([first, second])


async def test_a_stream_that_is_behind_raises_no_alarm(watched: Watched) -> None:
    """What the ledger has finished is finished, whether or not the stream shows it yet."""
    [of] = await watched.ledger.created(1)
    row = charge(of)
    await watched.ledger.charges.record([row], lane="fast")
    await watched.stream()
    await watched.ledger.outcomes.settle([outcome(row)])
    watched.ahead_us = LATER_US
    monitor = await watched.watch()
    assert await watched.told() == []
    assert (monitor.figures.unfinished, len(monitor._attempts)) == (0, 0)


async def test_what_is_repeated_until_acknowledged_is_left_to_store_and_forward(
    watched: Watched,
) -> None:
    """An advice without outcome is still being sent: its queue tells when that takes too long."""
    await _orphans(watched.ledger, 1)
    await watched.ledger.rows(
        "INSERT INTO attempts (intent_id, id, transaction_id, amount_minor, deadline_at, epoch,"
        " owner, network, acquirer_id, mti, stan, rrn, de7, currency, kind)"
        " SELECT intent_id, uuidv7(), transaction_id, 1, now(), 1, owner, network, acquirer_id,"
        " '0420', stan, rrn, de7, currency, 'reversal' FROM attempts"
    )
    await watched.stream()
    watched.ahead_us = LATER_US
    await watched.watch()
    assert len(await watched.told()) == 1


async def test_room_is_bounded(watched: Watched) -> None:
    """Past its bound the oldest is let go, and counted."""
    await _orphans(watched.ledger, 4)
    await watched.stream()
    async with watched.backend.reader() as reader:
        limits = msgspec.structs.replace(LIMITS, unfinished_open_max=3)
        monitor = AttemptMonitor(reader, watched.session, limits=limits, now_us=lambda: 0)
        await monitor.step({})
    assert (monitor.figures.open, monitor.figures.let_go) == (3, 1)
