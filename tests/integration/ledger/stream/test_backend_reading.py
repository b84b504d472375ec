"""What every back end promises its readers."""

from __future__ import annotations

import time

import pytest
import trio

from ledger.stream.backend import START, Cursor
from ledger.stream.record import descriptor_id
from tests.support.stream import DESCRIPTOR, Backend, batch, record, until_readable


async def _filled(backend: Backend, batches: int, size: int) -> None:
    writer = backend.writer()
    await writer.open()
    for number in range(batches):
        await writer.append(batch(number * size, size, known=number > 0))
    await writer.aclose()
    await until_readable(backend, batches * size)


async def _read_all(backend: Backend, records_max: int, bytes_max: int) -> list[bytes]:
    found: list[bytes] = []
    cursor: Cursor = START
    async with backend.reader(read_wait_s=0.01) as reader:
        while (page := await reader.read(cursor, records_max, bytes_max)).records:
            assert len(page.records) <= records_max
            assert [offset for _, offset, _ in page.records] == list(
                range(len(found), len(found) + len(page.records))
            )
            found += [data for _, _, data in page.records]
            cursor = page.cursor
    return found


@pytest.mark.parametrize(
    ("records_max", "bytes_max"), [(1, 10_000), (7, 10_000), (1_000, 300), (1_000, 10**6), (50, 1)]
)
async def test_pages_of_any_size_hold_the_whole_stream(
    backend: Backend, records_max: int, bytes_max: int
) -> None:
    """Whatever bounds a reader sets, it gets every record once, in order, over many segments."""
    await _filled(backend, 12, 100)
    assert await _read_all(backend, records_max, bytes_max) == [record(n) for n in range(1_200)]


async def test_reading_begins_anywhere(backend: Backend) -> None:
    """A cursor finds its record wherever in the stream it is, with a descriptor to read it by."""
    await _filled(backend, 12, 100)
    async with backend.reader() as reader:
        for wanted in (1_199, 0, 700, 99, 100, 701, 3):
            page = await reader.read({0: wanted}, 1, 10_000)
            assert page.records == [(0, wanted, record(wanted))]
            assert page.descriptors[descriptor_id(DESCRIPTOR)] == DESCRIPTOR
            assert page.cursor == {0: wanted + 1}


async def test_an_idle_read_ends_with_an_empty_page(backend: Backend) -> None:
    """When nothing comes within the wait, the page is empty and its cursor the same."""
    await _filled(backend, 1, 5)
    async with backend.reader(read_wait_s=0.05) as reader:
        page = await reader.read({0: 5}, 10, 10_000)
        assert (page.records, page.cursor) == ([], {0: 5})
        assert await reader.high_water() == {0: 5}


async def test_a_stream_that_has_not_begun_is_empty(backend: Backend) -> None:
    """Who comes before the writer waits for it."""
    async with backend.reader(read_wait_s=0.05) as reader:
        assert (await reader.read(START, 10, 10_000)).records == []
        await _filled(backend, 1, 2)
        assert len((await reader.read(START, 10, 10_000)).records) == 2


async def test_a_waiting_reader_hears_of_a_record_at_once(backend: Backend) -> None:
    """A record is read within moments of its append's return: 20 ms, where it is on this disk."""
    writer = backend.writer()
    await writer.open()
    await writer.append(batch(0, 1, known=False))
    late: list[float] = []
    async with backend.reader(read_wait_s=5) as reader, trio.open_nursery() as nursery:

        async def append() -> None:
            for number in range(1, 8):
                await trio.sleep(0.02)
                await writer.append(batch(number, 1))
                appended[number] = time.perf_counter()

        appended: dict[int, float] = {}
        nursery.start_soon(append)
        for number in range(1, 8):
            page = await reader.read({0: number}, 1, 10_000)
            read_at = time.perf_counter()
            assert page.records[0][1] == number
            await trio.sleep(0.002)
            late.append(read_at - appended.get(number, read_at))
    await writer.aclose()
    assert sorted(late)[len(late) // 2] < backend.hears_within_s


async def test_readers_follow_a_writer_through_its_segments(backend: Backend) -> None:
    """Two readers at their own pace get the same stream while it is being written."""
    writer = backend.writer()
    await writer.open()
    seen: dict[str, list[bytes]] = {"quick": [], "slow": []}

    async def follow(name: str, records_max: int) -> None:
        cursor: Cursor = START
        async with backend.reader(read_wait_s=5) as reader:
            while len(seen[name]) < 1_500:
                page = await reader.read(cursor, records_max, 10**6)
                seen[name] += [data for _, _, data in page.records]
                cursor = page.cursor

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, "quick", 1_000)
            nursery.start_soon(follow, "slow", 3)
            for number in range(15):
                await writer.append(batch(number * 100, 100, known=number > 0))
    await writer.aclose()
    assert seen["quick"] == seen["slow"] == [record(number) for number in range(1_500)]
