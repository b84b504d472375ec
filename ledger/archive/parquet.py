"""The archive's two tables as Parquet files: a segment's records, and what stands around them.

The only module that knows pyarrow. The columns of `records` beside `record` are for queries; proofs
and restored segments are made of `record` and of `frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ledger.archive.columns import columns_of
from ledger.archive.errors import ArchiveError
from ledger.archive.sealed import FrameHead, Sealed
from ledger.stream.record import DESCRIPTOR_ID_BYTES, NO_INTENT, Mark, Position

ROW_GROUP_ROWS: Final = 65_536
ZSTD_LEVEL: Final = 3  # six to eight times as fast as 9, and some hundredths larger

_RECORDS: Final = pa.schema(
    [
        pa.field("offset", pa.uint64(), nullable=False),
        pa.field("commit_lsn", pa.uint64(), nullable=False),
        pa.field("ordinal", pa.uint32(), nullable=False),
        pa.field("committed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("intent_id", pa.binary(len(NO_INTENT))),
        pa.field("table", pa.string()),
        pa.field("operation", pa.string()),
        pa.field("amount_minor", pa.int64()),
        pa.field("currency", pa.string()),
        pa.field("schema_version", pa.int16()),
        pa.field("descriptor", pa.binary(DESCRIPTOR_ID_BYTES), nullable=False),
        pa.field("record", pa.binary(), nullable=False),
    ]
)
_FRAMES: Final = pa.schema(
    [
        pa.field("kind", pa.uint8(), nullable=False),
        pa.field("record_count", pa.uint32(), nullable=False),
        pa.field("last_commit_lsn", pa.uint64()),
        pa.field("last_ordinal", pa.uint32()),
        pa.field("epoch", pa.uint32(), nullable=False),
        pa.field("system_identifier", pa.uint64(), nullable=False),
        pa.field("timeline", pa.uint32(), nullable=False),
        pa.field("end_lsn", pa.uint64(), nullable=False),
        pa.field("descriptors", pa.list_(pa.binary()), nullable=False),
    ]
)


def write_records(segment: Sealed, path: Path) -> None:
    """Write a segment's records.

    Raises:
        OSError: the file cannot be written.
    """
    columns = columns_of(segment)
    first = segment.header.first_offset
    lists = [
        range(first, segment.end_offset),
        columns.commit_lsns,
        columns.ordinals,
        columns.committed_at_us,
        columns.intents,
        columns.tables,
        columns.operations,
        columns.amounts_minor,
        columns.currencies,
        columns.schema_versions,
        columns.descriptors,
        segment.records,
    ]
    _write(_RECORDS, lists, path)


def write_frames(segment: Sealed, path: Path) -> None:
    """Write what stands around a segment's records.

    Raises:
        OSError: the file cannot be written.
    """
    heads = segment.frames
    lists = [
        [head.kind for head in heads],
        [head.record_count for head in heads],
        [None if head.last is None else head.last.commit_lsn for head in heads],
        [None if head.last is None else head.last.ordinal for head in heads],
        [head.epoch for head in heads],
        [head.mark.system_identifier for head in heads],
        [head.mark.timeline for head in heads],
        [head.mark.end_lsn for head in heads],
        [head.descriptors for head in heads],
    ]
    _write(_FRAMES, lists, path)


def read_records(data: bytes, first_offset: int) -> list[bytes]:
    """The records of a file, which must follow on each other from `first_offset` on.

    Raises:
        ArchiveError: it is no such file.
    """
    table = _read(data, _RECORDS, ("offset", "record"))
    offsets: list[int] = table.column("offset").to_pylist()
    if offsets != list(range(first_offset, first_offset + len(offsets))):
        raise ArchiveError("its offsets do not follow on each other")
    records: list[bytes] = table.column("record").to_pylist()
    return records


def read_frames(data: bytes) -> list[FrameHead]:
    """The frames of a file.

    Raises:
        ArchiveError: it is no such file.
    """
    table = _read(data, _FRAMES, _FRAMES.names)
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return [
        FrameHead(
            kind,
            record_count,
            None if lsn is None else Position(lsn, ordinal),
            epoch,
            Mark(system_identifier, timeline, end_lsn),
            descriptors,
        )
        for (
            kind,
            record_count,
            lsn,
            ordinal,
            epoch,
            system_identifier,
            timeline,
            end_lsn,
            descriptors,
        ) in rows
    ]


def _write(schema: Any, lists: Sequence[Any], path: Path) -> None:
    arrays = [
        pa.array(values, type=field.type) for values, field in zip(lists, schema, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, schema=schema)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        row_group_size=ROW_GROUP_ROWS,
    )


def _read(data: bytes, schema: Any, names: Sequence[str]) -> Any:
    """Some columns of a file of this schema.

    pyarrow checks little of what a damaged file says of itself, and reports the rest in many kinds
    of exceptions: so callers hold a file to its digest first, and all of them mean the same here.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        table = file.read(columns=list(names)) if file.schema_arrow.equals(schema) else None
        if table is not None:
            table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise ArchiveError("is no Parquet file of this layout") from error
    if table is None:
        raise ArchiveError("has other columns than this layout")
    return table
