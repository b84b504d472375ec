"""Segment files: sealing, the chain of digests, rights, and what a reader refuses."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import trio

from ledger.stream.backend import START
from ledger.stream.errors import (
    StreamCorruptError,
    StreamFatalError,
    StreamMissingError,
)
from ledger.stream.record import Mark
from ledger.stream.segments.files import SPARE, list_segments, segment_path, shard_folder
from ledger.stream.segments.format import HEADER_BYTES, decode_header
from tests.support.stream import SYSTEM, SegmentsBackend, batch


@pytest.fixture
def backend(tmp_path: Path) -> SegmentsBackend:
    """An empty stream of small segments."""
    return SegmentsBackend(tmp_path)


@pytest.fixture
def folder(backend: SegmentsBackend) -> Path:
    """Where its segments will lie."""
    return shard_folder(backend.data_dir, 0)


async def _fill(backend: SegmentsBackend, batches: int = 20) -> None:
    """Three segments and a bit."""
    writer = backend.writer()
    await writer.open()
    for number in range(batches):
        await writer.append(batch(number * 100, 100, known=number > 0))
    await writer.aclose()


def _flip(path: Path, at: int) -> None:
    path.chmod(0o640)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


async def test_full_segments_are_sealed(backend: SegmentsBackend, folder: Path) -> None:
    """A full segment is cut to its length and read-only; the newest one and the spare are not."""
    await _fill(backend)
    *sealed, newest = [segment_path(folder, first) for first in list_segments(folder)]
    assert len(sealed) >= 2
    assert {path.stat().st_mode & 0o777 for path in sealed} == {0o440}
    assert all(path.stat().st_size <= 65_536 for path in sealed)
    assert newest.stat().st_mode & 0o777 == 0o640
    assert newest.stat().st_size == (folder / SPARE).stat().st_size == 65_536
    assert (await trio.Path(folder).stat()).st_mode & 0o777 == 0o750


async def test_each_header_names_the_digest_of_the_segment_before(
    backend: SegmentsBackend, folder: Path
) -> None:
    """`sha256sum` of one file stands in the next one's header, also across a restart."""
    await _fill(backend, 3)
    writer = backend.writer()
    await writer.open()
    for number in range(3, 20):
        await writer.append(batch(number * 100, 100))
    await writer.aclose()
    before = bytes(32)
    for first_offset in list_segments(folder):
        data = segment_path(folder, first_offset).read_bytes()
        assert decode_header(data[:HEADER_BYTES]).predecessor == before
        before = hashlib.sha256(data).digest()


async def test_an_old_segment_is_sealed_although_it_is_not_full(
    backend: SegmentsBackend, folder: Path
) -> None:
    """A quiet stream's records reach the archive all the same."""
    writer = backend.writer(segment_age_s=0.0)
    await writer.open()
    await writer.append(batch(0, 1, known=False))
    await writer.append(batch(1, 1))
    assert list_segments(folder) == [0, 1]
    await writer.aclose()


async def test_any_flip_in_a_sealed_segment_is_refused_by_its_reader(
    backend: SegmentsBackend, folder: Path
) -> None:
    """The error names the file and the frame's place in it."""
    await _fill(backend)
    damaged = segment_path(folder, list_segments(folder)[1])
    _flip(damaged, 30_000)
    async with backend.reader() as reader:
        with pytest.raises(StreamCorruptError) as caught:
            await reader.read(START, 10**6, 10**9)
    assert caught.value.file == damaged
    assert 64 <= caught.value.at <= 30_000


async def test_a_flip_below_the_high_water_stops_the_next_writer(
    backend: SegmentsBackend, folder: Path
) -> None:
    """Damage of what was acknowledged is not cut off but refused."""
    await _fill(backend, 2)
    _flip(segment_path(folder, 0), 10_000)
    with pytest.raises(StreamCorruptError, match="acknowledged") as caught:
        await backend.writer().open()
    assert caught.value.file == segment_path(folder, 0)


async def test_a_flip_in_the_last_sealed_segment_stops_the_next_writer(
    backend: SegmentsBackend, folder: Path
) -> None:
    """Its digest is not the one that the newest segment names."""
    await _fill(backend)
    damaged = segment_path(folder, list_segments(folder)[-2])
    _flip(damaged, 30_000)
    with pytest.raises(StreamCorruptError, match="digest") as caught:
        await backend.writer().open()
    assert caught.value.file == damaged


@pytest.mark.parametrize("which", [0, 1, -1])
async def test_a_missing_segment_stops_writer_and_reader(
    backend: SegmentsBackend, folder: Path, which: int
) -> None:
    """Except the oldest ones, which the archive may have taken: then only their readers stop."""
    await _fill(backend)
    segments = list_segments(folder)
    segment_path(folder, segments[which]).unlink()
    if which == 0:
        writer = backend.writer()
        await writer.open()
        assert writer.next_offset == 2_000
        await writer.aclose()
    else:
        with pytest.raises(StreamCorruptError):
            await backend.writer().open()
    async with backend.reader() as reader:
        with pytest.raises((StreamCorruptError, StreamMissingError)):
            await reader.read(START, 10**6, 10**9)


async def test_a_truncated_sealed_segment_stops_the_next_writer(
    backend: SegmentsBackend, folder: Path
) -> None:
    """Without its seal at the end it is not whole."""
    await _fill(backend)
    cut = segment_path(folder, 0)
    cut.chmod(0o640)
    with cut.open("r+b") as file:
        file.truncate(cut.stat().st_size - 1)
    with pytest.raises(StreamCorruptError, match="seal"):
        await backend.writer().open()


async def test_an_emptied_folder_is_told_from_a_new_one(
    backend: SegmentsBackend, folder: Path
) -> None:
    """While the high water stands, removed segments are missed."""
    await _fill(backend, 1)
    segment_path(folder, 0).unlink()
    with pytest.raises(StreamCorruptError, match="missing"):
        await backend.writer().open()


async def test_a_lost_high_water_costs_nothing(backend: SegmentsBackend, folder: Path) -> None:
    """After a crash of the machine it may be gone: the newest segment tells."""
    await _fill(backend, 2)
    (folder / "high-water").unlink()
    writer = backend.writer()
    assert await writer.open() == Mark(SYSTEM, 1, 200 * 64 + 32)
    async with backend.reader() as reader:
        assert await reader.high_water() == {0: 200}
    await writer.aclose()


async def test_a_writer_whose_lock_was_replaced_stops(
    backend: SegmentsBackend, folder: Path
) -> None:
    """Where locks do not hold, the epoch does: the writer that was overtaken writes no more."""
    writer = backend.writer()
    await writer.open()
    await writer.append(batch(0, 1, known=False))
    (folder / "lock").unlink()
    with pytest.raises(StreamFatalError, match="another writer"):
        await writer.append(batch(1, 1))
    await writer.aclose()


async def test_epochs_grow_with_every_writer(backend: SegmentsBackend, folder: Path) -> None:
    """The lock's file tells how many writers there have been."""
    for _ in range(3):
        writer = backend.writer()
        await writer.open()
        await writer.aclose()
    assert (folder / "lock").read_text() == "00000000003\n"


async def test_a_missing_spare_is_made_again(backend: SegmentsBackend, folder: Path) -> None:
    """A stream without one goes on as long as its newest segment has room, and makes another."""
    await _fill(backend, 1)
    (folder / SPARE).unlink()
    await _fill(SegmentsBackend(backend.data_dir), 0)
    assert (folder / SPARE).stat().st_size == 65_536


async def test_a_page_tells_the_mark_of_its_last_whole_batch(backend: SegmentsBackend) -> None:
    """Of a page that ends within a batch it is that of the batch before, or none."""
    await _fill(backend, 3)
    marks = [batch(number * 100, 100).mark for number in range(3)]
    async with backend.reader() as reader:
        for start, count, mark in [
            (0, 50, None),
            (0, 100, marks[0]),
            (0, 199, marks[0]),
            (150, 50, marks[1]),
            (150, 500, marks[2]),
        ]:
            page = await reader.read({0: start}, count, 10**6)
            assert page.mark == mark
