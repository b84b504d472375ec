"""The log behind a real stream of segments: takes in, signs in time, stands up after a death."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from chassis.settings.tree import Audit, Stream
from ledger.audit.following import PAGE_RECORDS, Following
from ledger.audit.keys import make_pair
from ledger.audit.log import AuditLog, AuditLogError, last_signed
from ledger.audit.notes import ED25519
from ledger.stream.backend import Batch
from ledger.stream.record import Mark, descriptor_id, pack_head
from ledger.stream.segments.reader import SegmentReader
from ledger.stream.segments.writer import SegmentWriter

PAIR = make_pair("turnout.example/0", ED25519, bytes(range(32)))
STREAM = Stream(segment_bytes=1_048_576, read_wait_s=0.05)
AUDIT = Audit(checkpoint_interval_s=0.2, checkpoint_records=50, read_interval_ms=1.0)
DESCRIPTOR = b"a relation message"
NOW_US = 1_900_000_000_000_000


def _batch(first: int, count: int) -> Batch:
    """Records with the commit LSNs `first` and so on."""
    name = descriptor_id(DESCRIPTOR)
    records = [
        pack_head(1, ord("I"), 0, 0, number, NOW_US, name, bytes(16)) + b"I" + bytes(60)
        for number in range(first, first + count)
    ]
    return Batch(records, [DESCRIPTOR] if first == 1 else [], Mark(1, 1, first + count))


@asynccontextmanager
async def _stream(folder: Path) -> AsyncIterator[SegmentWriter]:
    writer = SegmentWriter(folder, shard=0, settings=STREAM, now_us=lambda: NOW_US)
    await writer.open()
    try:
        yield writer
    finally:
        await writer.aclose()


@asynccontextmanager
async def _following(folder: Path, settings: Audit = AUDIT) -> AsyncIterator[Following]:
    log = AuditLog.open(folder / "log", PAIR.public.name, PAIR.public, PAIR)
    async with SegmentReader(folder, shard=0, settings=STREAM) as reader:
        following = Following(log, reader, settings, lambda: NOW_US)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(following.run)
            yield following
            nursery.cancel_scope.cancel()
    log.close()


async def _signed(folder: Path, size: int) -> None:
    with trio.fail_after(5):
        while True:
            signed = last_signed(folder / "log", PAIR.public)
            if signed is not None and signed.size == size:
                return
            await trio.sleep(0.01)


async def test_what_is_durable_is_signed_within_the_interval(tmp_path: Path) -> None:
    """A few records wait for the interval; nothing more is signed while nothing comes."""
    async with _stream(tmp_path) as writer, _following(tmp_path) as following:
        await writer.append(_batch(1, 3))
        await _signed(tmp_path, 3)
        await trio.sleep(0.5)
        assert (following.leaves_total, following.checkpoints_total) == (3, 1)


async def test_many_records_are_signed_without_waiting(tmp_path: Path) -> None:
    """With an interval of an hour, the number of records decides."""
    patient = Audit(checkpoint_interval_s=3_600.0, checkpoint_records=50, read_interval_ms=1.0)
    async with _stream(tmp_path) as writer, _following(tmp_path, patient) as following:
        await writer.append(_batch(1, 49))
        with trio.fail_after(5):
            while following.leaves_total < 49:
                await trio.sleep(0.01)
        assert last_signed(tmp_path / "log", PAIR.public) is None
        await writer.append(_batch(50, 1))
        await _signed(tmp_path, 50)


async def test_what_does_not_fit_into_a_page_is_taken_in_with_it(tmp_path: Path) -> None:
    """Pages are read without a pause between them, up to a batch; then the reads pause."""
    batch = Audit(
        checkpoint_interval_s=3_600.0,
        read_interval_ms=3_600_000.0,
        batch_records_max=PAGE_RECORDS + 1_000,
    )
    async with _stream(tmp_path) as writer:
        for first in range(1, PAGE_RECORDS + 2_001, 1_000):
            await writer.append(_batch(first, 1_000))
        async with _following(tmp_path, batch) as following:
            with trio.fail_after(5):
                while following.leaves_total < batch.batch_records_max:
                    await trio.sleep(0.01)
            await trio.sleep(0.05)
            assert following.leaves_total == batch.batch_records_max


async def test_a_start_goes_on_where_the_last_signature_was(tmp_path: Path) -> None:
    """Records taken in and not signed are read again, once."""
    async with _stream(tmp_path) as writer:
        await writer.append(_batch(1, 20))
        async with _following(tmp_path):
            await _signed(tmp_path, 20)
        await writer.append(_batch(21, 30))
        async with _following(tmp_path) as again:
            await _signed(tmp_path, 50)
            assert again.leaves_total == 30


async def test_a_stream_with_fewer_records_than_were_signed_is_refused(tmp_path: Path) -> None:
    """It was cut short or exchanged: nothing is signed over it."""
    async with _stream(tmp_path) as writer:
        await writer.append(_batch(1, 5))
    log = AuditLog.open(tmp_path / "log", PAIR.public.name, PAIR.public, PAIR)
    log.append([b"one more"] * 6)
    async with SegmentReader(tmp_path, shard=0, settings=STREAM) as reader:
        following = Following(log, reader, AUDIT, lambda: NOW_US)
        with pytest.raises(AuditLogError, match="6 records were signed, and the stream has 5"):
            await following.check()


async def test_another_stream_with_as_many_records_is_refused(tmp_path: Path) -> None:
    """One that was made anew, and has grown beyond the old one's end."""
    async with _stream(tmp_path / "old") as writer, _following(tmp_path / "old"):
        await writer.append(_batch(1, 5))
        await _signed(tmp_path / "old", 5)
    async with _stream(tmp_path / "new") as writer:
        await writer.append(_batch(1, 1))
        await writer.append(_batch(100, 9))
    log = AuditLog.open(tmp_path / "old" / "log", PAIR.public.name, PAIR.public, PAIR)
    for folder, reason in (("old", ""), ("new", "record 4 of the stream is not the one")):
        async with SegmentReader(tmp_path / folder, shard=0, settings=STREAM) as reader:
            following = Following(log, reader, AUDIT, lambda: NOW_US)
            if not reason:
                await following.check()
                continue
            with pytest.raises(AuditLogError, match=reason):
                await following.check()
