"""What every back end promises its writer."""

from __future__ import annotations

import pytest

from ledger.stream.backend import START, Batch
from ledger.stream.errors import BatchError, StreamBusyError, StreamFencedError
from ledger.stream.record import Mark, Position
from tests.support.stream import DESCRIPTOR, SYSTEM, Backend, batch, record, until_readable


async def test_a_new_stream_has_no_mark(backend: Backend) -> None:
    """A stream that was never written to says so, and begins at offset 0."""
    writer = backend.writer()
    assert await writer.open() is None
    assert (writer.next_offset, writer.last) == (0, None)
    await writer.aclose()


async def test_append_tells_the_next_offset(backend: Backend) -> None:
    """Offsets count records, from 0."""
    writer = backend.writer()
    await writer.open()
    assert await writer.append(batch(0, 3, known=False)) == 3
    assert await writer.append(batch(3, 2)) == 5
    await writer.aclose()


async def test_a_new_writer_finds_mark_offset_and_last_position(backend: Backend) -> None:
    """What was appended is there for the next process, with its mark."""
    writer = backend.writer()
    await writer.open()
    await writer.append(batch(0, 3, known=False))
    await writer.aclose()
    writer = backend.writer()
    assert await writer.open() == Mark(SYSTEM, 1, 3 * 64 + 32)
    assert (writer.next_offset, writer.last) == (3, Position(3 * 64, 0))
    await writer.aclose()


async def test_a_mark_alone_is_kept(backend: Backend) -> None:
    """A batch without records moves the mark and nothing else."""
    writer = backend.writer()
    await writer.open()
    await writer.append(batch(0, 1, known=False))
    assert await writer.append(Batch([], [], Mark(SYSTEM, 2, 9_999))) == 1
    await writer.aclose()
    writer = backend.writer()
    assert await writer.open() == Mark(SYSTEM, 2, 9_999)
    assert writer.last == Position(64, 0)
    await writer.aclose()


async def test_a_mark_that_does_not_move_is_refused(backend: Backend) -> None:
    """An empty batch must say something new."""
    writer = backend.writer()
    await writer.open()
    await writer.append(batch(0, 1, known=False))
    with pytest.raises(BatchError, match="move the mark"):
        await writer.append(Batch([], [], Mark(SYSTEM, 1, 64 + 32)))
    await writer.aclose()


async def test_a_record_nobody_could_read_is_refused(backend: Backend) -> None:
    """A descriptor must have come before or with the first record that needs it."""
    writer = backend.writer()
    await writer.open()
    with pytest.raises(BatchError, match="descriptor"):
        await writer.append(batch(0, 1, known=True))
    assert await writer.append(batch(0, 1, known=False)) == 1
    await writer.aclose()


async def test_descriptors_outlive_their_writer(backend: Backend) -> None:
    """A new writer need not be given what the stream holds already."""
    writer = backend.writer()
    await writer.open()
    await writer.append(batch(0, 1, known=False))
    await writer.aclose()
    writer = backend.writer()
    await writer.open()
    assert await writer.append(batch(1, 1, known=True)) == 2
    await writer.aclose()


@pytest.mark.parametrize("count", [257, 1])
async def test_a_batch_beyond_its_bounds_is_refused(backend: Backend, count: int) -> None:
    """Too many records, or too many bytes, are refused before anything is stored."""
    writer = backend.writer()
    await writer.open()
    large = (bytes(16), bytes(20_000)) if count == 1 else (bytes(16), bytes(8))
    records = [record(number, row=large) for number in range(count)]
    with pytest.raises(BatchError, match="at most"):
        await writer.append(Batch(records, [DESCRIPTOR], Mark(SYSTEM, 1, 10**6)))
    assert writer.next_offset == 0
    await writer.aclose()


async def test_there_are_never_two_writers(backend: Backend) -> None:
    """The second one is refused, or the first one can store nothing from then on."""
    first, second = backend.writer(), backend.writer()
    await first.open()
    await first.append(batch(0, 1, known=False))
    try:
        await second.open()
    except StreamBusyError:
        assert await first.append(batch(1, 1)) == 2
        await first.aclose()
        await second.open()
    else:
        with pytest.raises(StreamFencedError):
            await first.append(batch(7, 1))
        await first.aclose()
        assert await second.append(batch(1, 1)) == 2
    assert await second.append(batch(2, 1)) == 3
    await second.aclose()
    await until_readable(backend, 3)
    async with backend.reader() as reader:
        page = await reader.read(START, 100, 100_000)
    assert [found for _, _, found in page.records] == [record(number) for number in range(3)]


async def test_what_was_appended_is_read(backend: Backend) -> None:
    """Records come back byte for byte, numbered, with their descriptors."""
    writer = backend.writer()
    await writer.open()
    appended = batch(0, 3, known=False)
    await writer.append(appended)
    await until_readable(backend, 3)
    async with backend.reader() as reader:
        page = await reader.read(START, 100, 100_000)
    assert [found for _, _, found in page.records] == appended.records
    assert [offset for _, offset, _ in page.records] == [0, 1, 2]
    assert DESCRIPTOR in page.descriptors.values()
    await writer.aclose()
