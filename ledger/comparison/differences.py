"""What two streams differ in: one record, by its row, its place in the WAL and on both disks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ledger.relay.positions import format_lsn
from ledger.stream.changes import read_change, read_table, uuid_text
from ledger.stream.errors import RecordError
from ledger.stream.record import parse_record

DIFFERENCES_MAX: Final = 100  # kept and shown; the others are counted

BYTES: Final = "bytes"  # the same change, with other bytes
ONLY_FIRST: Final = "only_first"
ONLY_SECOND: Final = "only_second"
ORDER: Final = "order"  # both have it, at different places among the others
ROW: Final = "row"  # what a repair read back on one side is not what the other side has
DAMAGE: Final = "damage"  # a stream cannot be read

REASONS: Final = {
    BYTES: "the two streams have different bytes for the same change",
    ONLY_FIRST: "the first stream has this record, and the second lacks it",
    ONLY_SECOND: "the second stream has this record, and the first lacks it",
    ORDER: "the two streams have this record at different places",
    ROW: "the repaired rows of one stream are not what the other has",
}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference.

    Attributes:
        kind: one of those above.
        detail: what is wrong, in words.
        row: table and key, such as `attempts intent_id=… id=…`; never any other value.
        lsn: of the commit, as Postgres writes it.
        ordinal: of the change in its transaction.
        first: file and byte in the first stream; where it should stand, if it is not there.
        second: likewise in the second.
        first_offset: of the record there.
        second_offset: likewise.
    """

    kind: str
    detail: str
    row: str = ""
    lsn: str = ""
    ordinal: int = 0
    first: str = ""
    second: str = ""
    first_offset: int | None = None
    second_offset: int | None = None


def difference(
    kind: str,
    record: bytes,
    descriptors: Mapping[bytes, bytes],
    first: tuple[str, int | None],
    second: tuple[str, int | None],
    detail: str = "",
) -> Difference:
    """Name a difference by one of the records that it is about.

    Args:
        kind: see above.
        record: it, or one of the two.
        descriptors: relation messages by their ids, to tell table and key.
        first: place and offset in the first stream.
        second: likewise in the second.
        detail: words other than the usual ones.
    """
    return Difference(
        kind=kind,
        detail=detail or REASONS[kind],
        row=row_name(record, descriptors),
        lsn=format_lsn(int.from_bytes(record[8:16])),
        ordinal=int.from_bytes(record[4:8]),
        first=first[0],
        second=second[0],
        first_offset=first[1],
        second_offset=second[1],
    )


def row_name(data: bytes, descriptors: Mapping[bytes, bytes]) -> str:
    """Table and key of the row that a record is about; says so where it cannot be told."""
    try:
        record = parse_record(data)
        table = read_table(descriptors[record.descriptor])
        change = read_change(record.change, table)
        row = change.new or change.old
        key = {} if row is None else row.key()
        if row is not None and (version := row.get("version")) is not None:
            key["version"] = version
    except KeyError:
        return "a table that is not described"
    except RecordError as error:
        return f"a row that cannot be read: {error}"
    parts = (
        f"{column}={uuid_text(value) if isinstance(value, bytes) else value}"
        for column, value in key.items()
    )
    return " ".join((table.name, *parts))
