"""What a writer keeps, and a reader beside it gives out: the stream's own records, once durable."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from ledger.stream.backend import Batch, Cursor, Page
from ledger.stream.errors import StreamFullError
from ledger.stream.recent import RecentReader, RecentWriter
from ledger.stream.record import Mark, Position, descriptor_id
from tests.support.stream import DESCRIPTOR, SegmentsBackend, batch, record


class _Slow:
    """A writer whose appends end when they are let, well or with an error."""

    def __init__(self) -> None:
        self.next_offset = 0
        self.last: Position | None = None
        self.may_end = trio.Event()
        self.error: Exception | None = None

    async def open(self) -> Mark | None:
        await trio.lowlevel.checkpoint()
        return None

    async def append(self, batch: Batch) -> int:
        self.next_offset += len(batch.records)  # as the appender has it before its thread is heard
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return self.next_offset

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def _written(backend: SegmentsBackend, bytes_max: int) -> RecentWriter:
    """Twelve batches of ten records, the first before the writer that keeps was opened."""
    first = backend.writer()
    await first.open()
    await first.append(batch(0, 10, known=False))
    await first.aclose()
    writer = RecentWriter(backend.writer(), bytes_max)
    await writer.open()
    for number in range(1, 12):
        await writer.append(batch(number * 10, 10, known=number > 1))
    await writer.append(Batch([], [], Mark(1, 1, 10**9)))
    return writer


async def _read_all(
    reader: RecentReader, records_max: int, bytes_max: int
) -> tuple[list[bytes], list[Page]]:
    pages: list[Page] = []
    cursor: Cursor = {}
    while (page := await reader.read(cursor, records_max, bytes_max)).records:
        assert len(page.records) <= records_max
        assert len(page.records) == 1 or sum(len(data) for *_, data in page.records) <= bytes_max
        assert page.cursor == {0: page.records[-1][1] + 1}
        pages.append(page)
        cursor = page.cursor
    found = [one for page in pages for one in page.records]
    assert [offset for _, offset, _ in found] == list(range(len(found)))
    return [data for *_, data in found], pages


@pytest.mark.parametrize("kept_bytes", [0, 2_000, 10**6])
@pytest.mark.parametrize(
    ("records_max", "bytes_max"), [(1, 10_000), (7, 10_000), (1_000, 300), (1_000, 10**6), (50, 1)]
)
async def test_pages_hold_the_whole_stream(
    tmp_path: Path, kept_bytes: int, records_max: int, bytes_max: int
) -> None:
    """However much is kept: every record once, in order, within bounds, marks at batches' ends."""
    backend = SegmentsBackend(tmp_path)
    writer = await _written(backend, kept_bytes)
    async with RecentReader(writer, backend.reader(read_wait_s=0.01)) as reader:
        found, pages = await _read_all(reader, records_max, bytes_max)
    await writer.aclose()
    assert found == [record(number) for number in range(120)]
    ends = {batch(number * 10, 10).mark.end_lsn: (number + 1) * 10 for number in range(12)}
    for page in pages:
        assert page.descriptors[descriptor_id(DESCRIPTOR)] == DESCRIPTOR
        if page.mark is not None:
            assert ends[page.mark.end_lsn] <= page.cursor[0]


async def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    """The newest batches are there whole, with their mark; older ones were let go."""
    backend = SegmentsBackend(tmp_path)
    writer = await _written(backend, 2_000)
    assert writer.page(0, 1, 1_000) is None  # let go
    kept = writer.page(100, 1_000, 10**6)
    assert kept is not None
    assert [data for *_, data in kept.records] == [record(number) for number in range(100, 120)]
    assert kept.mark == batch(110, 10).mark
    assert writer.page(120, 1_000, 10**6) is None  # nothing is there yet
    await writer.aclose()


async def test_what_was_read_is_let_go_and_comes_from_the_stream(tmp_path: Path) -> None:
    """A batch goes once a read begins behind it, not earlier; who begins again misses nothing."""
    backend = SegmentsBackend(tmp_path)
    writer = await _written(backend, 10**6)
    async with RecentReader(writer, backend.reader(read_wait_s=0.01)) as reader:
        await reader.read({0: 35}, 1, 1_000)
        assert writer.page(20, 1, 1_000) is None
        assert writer.page(30, 1, 1_000) is not None
        await reader.read({0: 120}, 1, 1_000)
        assert writer.page(119, 1, 1_000) is None
        found, _ = await _read_all(reader, 1_000, 10**6)
    await writer.aclose()
    assert found == [record(number) for number in range(120)]


async def test_nothing_is_given_out_before_it_is_durable() -> None:
    """While the append is under way there is no page, and none of an append that failed."""
    inner = _Slow()
    writer = RecentWriter(inner)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.append, batch(0, 3, known=False))
        await trio.testing.wait_all_tasks_blocked()
        assert writer.page(0, 10, 10_000) is None
        inner.may_end.set()
    page = writer.page(0, 10, 10_000)
    assert page is not None
    assert len(page.records) == 3
    inner.error = StreamFullError("no room")
    with pytest.raises(StreamFullError):
        await writer.append(batch(3, 3))
    assert writer.page(3, 10, 10_000) is None
