"""Two streams to compare: written batch by batch, damaged, and compared."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from chassis.settings.tree import Stream
from ledger.comparison.comparing import Comparison
from ledger.comparison.side import Side
from ledger.comparison.tape import Tape
from ledger.stream.backend import Batch
from ledger.stream.record import REPAIR, Mark
from ledger.stream.segments.files import shard_folder
from ledger.stream.segments.writer import SegmentWriter
from tests.support.stream import DESCRIPTOR, SYSTEM, record

SETTINGS = Stream(segment_bytes=131_072, batch_bytes_max=126_976, batch_records_max=4_096)


def mark(end_lsn: int, timeline: int = 1) -> Mark:
    """How far a stream is."""
    return Mark(SYSTEM, timeline, end_lsn)


def wal(first: int, count: int = 1) -> Batch:
    """Records of the WAL, numbered; number n was committed at LSN 64 (n + 1)."""
    records = [record(number) for number in range(first, first + count)]
    return Batch(records, [], mark(64 * (first + count) + 32))


def repair(numbers: Iterable[int], *, up_to: int, old_lsn: int) -> list[Batch]:
    """What a repair appends: the rows of some numbers, and the mark where the new slot begins.

    Args:
        numbers: which rows.
        up_to: the new slot begins behind the record of this number.
        old_lsn: where the mark stands until then.
    """
    new = mark(64 * (up_to + 1) + 32)
    rows = [
        record(
            number,
            commit_lsn=new.end_lsn - 1,
            ordinal=ordinal,
            flags=REPAIR,
            committed_at_us=time.time_ns() // 1_000,
        )
        for ordinal, number in enumerate(numbers)
    ]
    batches = [Batch(rows, [], mark(old_lsn))] if rows else []
    return [*batches, Batch([], [], new)]


def first_start(numbers: Iterable[int] = (), *, up_to: int = -1) -> list[Batch]:
    """How every stream begins."""
    return [Batch([], [], mark(0)), *repair(numbers, up_to=up_to, old_lsn=0)]


async def write(data_dir: Path, *batches: Batch) -> None:
    """Append batches to the stream of a folder."""
    writer = SegmentWriter(
        data_dir, shard=0, settings=SETTINGS, now_us=lambda: time.time_ns() // 1_000
    )
    await writer.open()
    given = False
    try:
        for batch in batches:
            ours = [DESCRIPTOR] if batch.records and not given else []
            descriptors = [*batch.descriptors, *ours]
            await writer.append(msgspec.structs.replace(batch, descriptors=descriptors))
            given = given or bool(ours)
    finally:
        await writer.aclose()


def sides(first: Path, second: Path) -> tuple[Side, Side]:
    """Both streams from their beginnings."""
    return (
        Side("first", Tape(shard_folder(first, 0), 0)),
        Side("second", Tape(shard_folder(second, 0), 0)),
    )


def compare(first: Path, second: Path) -> Comparison:
    """Compare all there is."""
    comparison = Comparison(*sides(first, second))
    proceed(comparison)
    return comparison


def proceed(comparison: Comparison) -> None:
    """Go on to the end of what there is."""
    while comparison.advance(10_000):
        pass
    comparison.first.tape.close()
    comparison.second.tape.close()
