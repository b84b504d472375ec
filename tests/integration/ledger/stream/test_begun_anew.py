"""A stream that is lost while others read it, and begins anew: they notice, without a restart."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.connection import Connection
from ledger.stream.cursors import (
    CursorMovedError,
    FloorCursor,
    read_cursor,
    reset_cursor,
    reset_cursors,
)
from ledger.stream.parking import list_parked, park_step
from tests.support.postgres import LedgerDSN
from tests.support.stream import SMALL, SegmentsBackend, batch, record

GROUP = "watchers"


@pytest.fixture
async def relay(fresh_ledger_dsn: LedgerDSN) -> AsyncIterator[Connection]:
    """A session of the relay's role."""
    session = await Connection.open(fresh_ledger_dsn("turnout_relay"), connect_timeout_s=10)
    yield session
    await session.aclose()


async def _write(folder: Path, count: int) -> None:
    writer = SegmentsBackend(folder, SMALL).writer()
    await writer.open()
    await writer.append(batch(0, count, known=False))
    await writer.aclose()


async def test_a_reader_goes_over_to_the_new_stream(tmp_path: Path) -> None:
    """Its files are open, and hold the old one; the folder's name is another's by then."""
    await _write(tmp_path, 9)
    async with SegmentsBackend(tmp_path, SMALL).reader() as reader:
        assert (await reader.high_water())[0] == 9
        shutil.rmtree(tmp_path / "stream")
        assert (await reader.high_water())[0] == 9  # nothing has begun in its place
        await _write(tmp_path, 4)
        assert (await reader.high_water())[0] == 4
        assert [offset for _, offset, _ in (await reader.read({}, 10, 10_000)).records] == [
            *range(4)
        ]


async def test_a_floor_that_was_moved_is_noticed_when_it_is_saved(relay: Connection) -> None:
    """Also where it would be saved as it was: an idle reader has nothing else to look at."""
    floor = FloorCursor(relay, GROUP, 0)
    assert await floor.read() == {}
    await floor.save(7)
    await floor.save(7)
    await reset_cursors(relay, 0)
    with pytest.raises(CursorMovedError, match=GROUP):
        await floor.save(7)
    with pytest.raises(CursorMovedError, match=GROUP):
        await floor.save(9)
    assert await floor.read() == {0: 0}
    await floor.save(3)
    assert await read_cursor(relay, GROUP, 0) == {0: 3}


async def test_what_was_parked_is_let_go_of(relay: Connection, fresh_ledger_dsn: LedgerDSN) -> None:
    """Its offsets are of a stream that is no more; how much it was is told. Other shards keep."""
    session = await Connection.open(fresh_ledger_dsn("turnout_postings"), connect_timeout_s=10)
    try:
        for shard, offset in ((0, 5), (0, 6), (1, 5)):
            await session.pipeline([park_step(GROUP, shard, 0, offset, record(5), "odd")])
        await reset_cursor(session, GROUP, 0, {0: 8})
        assert await reset_cursors(relay, 0) == 2
        assert await read_cursor(relay, GROUP, 0) == {0: 0}
    finally:
        await session.aclose()
    reader = await Connection.open(fresh_ledger_dsn("turnout_reader"), connect_timeout_s=10)
    try:
        assert [one.shard for one in await list_parked(reader)] == [1]
    finally:
        await reader.aclose()
