"""Both tables hold a segment, and columns by which it is queried."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ledger.archive.errors import ArchiveError
from ledger.archive.parquet import read_frames, read_records, write_frames, write_records
from ledger.archive.sealed import take_apart
from ledger.stream.record import descriptor_id
from ledger.stream.segments.format import NO_PREDECESSOR
from tests.support.archiving import PAYMENTS, payment, segment
from tests.support.stream import record

STRANGER = record(42)  # its descriptor is nowhere
RECORDS = [*(payment(number) for number in range(7, 90)), STRANGER]
SEGMENT = take_apart(segment(7, RECORDS, NO_PREDECESSOR), shard=0, first_offset=7)


def test_records_and_frames_are_read_as_they_were_written(tmp_path: Path) -> None:
    """The tables give back every record and every frame's head."""
    write_records(SEGMENT, tmp_path / "records")
    write_frames(SEGMENT, tmp_path / "frames")
    assert read_records((tmp_path / "records").read_bytes(), 7) == SEGMENT.records
    assert read_frames((tmp_path / "frames").read_bytes()) == SEGMENT.frames


def test_columns_tell_what_a_record_is_about(tmp_path: Path) -> None:
    """Any reader of Parquet finds a payment by id, time, amount and currency."""
    write_records(SEGMENT, tmp_path / "records")
    row = pq.read_table(tmp_path / "records").to_pylist()[3]
    assert row == {
        "offset": 10,
        "commit_lsn": 11 * 64,
        "ordinal": 0,
        "committed_at": datetime(2023, 11, 14, 22, 13, 20, 10, tzinfo=UTC),
        "intent_id": (10).to_bytes(16),
        "table": "payment_intents",
        "operation": "insert",
        "amount_minor": 10,
        "currency": "eur",
        "schema_version": 1,
        "descriptor": descriptor_id(PAYMENTS),
        "record": payment(10),
    }


def test_a_record_that_cannot_be_read_is_kept_all_the_same(tmp_path: Path) -> None:
    """What fits no descriptor has its bytes and no more."""
    write_records(SEGMENT, tmp_path / "records")
    row = pq.read_table(tmp_path / "records").to_pylist()[-1]
    assert (row["record"], row["table"], row["schema_version"]) == (STRANGER, None, None)


def test_what_is_no_table_of_the_archive_is_refused(tmp_path: Path) -> None:
    """A torn file, another table, and records of another place are no records of the segment."""
    write_records(SEGMENT, tmp_path / "records")
    write_frames(SEGMENT, tmp_path / "frames")
    records, frames = ((tmp_path / name).read_bytes() for name in ("records", "frames"))
    for data, first in ((records[:-9], 7), (frames, 7), (b"", 7), (records, 8)):
        with pytest.raises(ArchiveError):
            read_records(data, first)
    with pytest.raises(ArchiveError):
        read_frames(records)
