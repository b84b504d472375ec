"""Streams as chance makes them: whatever two honest relays do is alike, and no forgery is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from ledger.stream.backend import Batch
from ledger.stream.record import Mark, Position
from ledger.stream.segments.files import segment_path, shard_folder
from ledger.stream.segments.format import NO_PREDECESSOR, Header, encode_frame, encode_header
from ledger.stream.segments.high_water import HighWater, HighWaterFile
from tests.support.comparing import compare, first_start, mark, repair
from tests.support.stream import DESCRIPTOR, record

TRANSACTIONS = 60
Forge = Callable[[list[bytes], int], list[bytes]]


def _wal(draw: Random) -> list[list[bytes]]:
    """Transactions of one to five records; number n is committed at LSN 64 (n + 1)."""
    return [
        [
            record(10 * number + ordinal, commit_lsn=64 * (number + 1), ordinal=ordinal)
            for ordinal in range(draw.randint(1, 5))
        ]
        for number in range(TRANSACTIONS)
    ]


def _numbers(transactions: list[list[bytes]]) -> list[int]:
    return [int.from_bytes(one[32:48]) for records in transactions for one in records]


def _streamed(draw: Random, wal: list[list[bytes]], begin: int) -> list[Batch]:
    """Transactions in any batches, large ones in portions, with marks alone in between."""
    batches: list[Batch] = []
    before = 64 * begin + 32
    records: list[bytes] = []
    for number, transaction in enumerate(wal, begin):
        records += transaction
        after = 64 * (number + 1) + 32
        if draw.random() < 0.1 and len(records) > 1:
            batches.append(Batch(records[:1], [], mark(before)))
            records = records[1:]
        if draw.random() < 0.4:
            batches.append(Batch(records, [], mark(after)))
            before, records = after, []
            if draw.random() < 0.2:
                batches.append(Batch([], [], mark(before := after + 8)))
    end = 64 * (begin + len(wal)) + 32
    return [*batches, Batch(records, [], mark(end))] if records else batches


def _stream(draw: Random, wal: list[list[bytes]]) -> list[Batch]:
    """A stream from a late start to the WAL's end, its slot lost up to twice."""
    cuts = sorted(draw.sample(range(len(wal)), draw.choice([1, 3, 5])))
    start, *gaps = [0, *cuts[1:]] if draw.random() < 0.5 else cuts
    batches = first_start(_numbers(wal[:start]), up_to=start - 1)
    at = start
    for lost, made in zip(gaps[::2], gaps[1::2], strict=True):
        batches += _streamed(draw, wal[at:lost], at)
        old_lsn = batches[-1].mark.end_lsn
        batches += repair(_numbers(wal[lost:made]), up_to=made - 1, old_lsn=old_lsn)
        at = made
    return batches + _streamed(draw, wal[at:], at)


def _lay(data_dir: Path, batches: list[Batch]) -> None:
    """Write a stream as one segment, without waiting for a disk."""
    folder = shard_folder(data_dir, 0)
    folder.mkdir(parents=True)
    data = encode_header(Header(0, 0, 1, NO_PREDECESSOR))
    offset, given = 0, False
    for batch in batches:
        descriptors = [DESCRIPTOR] if batch.records and not given else []
        given = given or bool(descriptors)
        data += encode_frame(
            first_offset=offset,
            records=batch.records,
            descriptors=descriptors,
            last=Position(1, 0) if offset else None,
            epoch=1,
            mark=Mark(*(getattr(batch.mark, name) for name in Mark.__struct_fields__)),
        )
        offset += len(batch.records)
    segment_path(folder, 0).write_bytes(data)
    file = HighWaterFile.to_publish(folder)
    file.publish(HighWater(1, offset, 0, len(data)))
    file.close()


@pytest.mark.parametrize("seed", range(30))
def test_what_two_honest_relays_do_is_no_difference(tmp_path: Path, seed: int) -> None:
    """Any batches, any starts, any slots lost on either side."""
    draw = Random(seed)
    wal = _wal(draw)
    for name in ("first", "second"):
        _lay(tmp_path / name, _stream(draw, wal))
    found = compare(tmp_path / "first", tmp_path / "second")
    assert (found.differences, found.damage) == ([], None)
    assert found.is_aligned
    assert found.late_side() == ""


def _flip(records: list[bytes], at: int) -> list[bytes]:
    changed = records[at][:-1] + bytes([records[at][-1] ^ 1])
    return [*records[:at], changed, *records[at + 1 :]]


def _drop(records: list[bytes], at: int) -> list[bytes]:
    return [*records[:at], *records[at + 1 :]]


def _insert(records: list[bytes], at: int) -> list[bytes]:
    before = records[at]
    forged = record(5_000 + at, commit_lsn=int.from_bytes(before[8:16]), flags=before[2])
    return [*records[:at], forged, *records[at:]]


@pytest.mark.parametrize("forge", [_flip, _drop, _insert])
@pytest.mark.parametrize("seed", range(12))
def test_no_forgery_is_missed(tmp_path: Path, seed: int, forge: Forge) -> None:
    """One record of either stream, repaired or not, wherever it stands; it alone is named."""
    draw = Random(seed)
    wal = _wal(draw)
    streams = [_stream(draw, wal), _stream(draw, wal)]
    forged = streams[draw.randrange(2)]
    number = draw.choice([i for i, batch in enumerate(forged) if batch.records])
    batch = forged[number]
    place = draw.randrange(len(batch.records))
    forged[number] = Batch(forge(list(batch.records), place), [], batch.mark)
    for name, batches in zip(("first", "second"), streams, strict=True):
        _lay(tmp_path / name, batches)
    found = compare(tmp_path / "first", tmp_path / "second")
    assert 1 <= found.differences_total <= 2  # a row that is another one is missing, too
    assert found.is_aligned
