"""The fourth witness: the event stream, held to the rows of the tables. Pure.

Every version of every published row must be in the stream once, and nothing else. Of a table whose
rows are never changed that is one insert a row, with the values that the row has. Of the payment
intents it is each version from 1 to the one that the row has; the last of them has its values.

Values are compared as bytes, as Postgres sends both: the rows to plain SQL that asks for binary
results, the changes to the relay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from ledger.ids import public_id

Values = dict[str, bytes | None]
Key = tuple[bytes | None, ...]

VERSIONED: Final = "payment_intents"
VERSION: Final = "version"
NAMED_MAX: Final = 20  # of each kind of fault; all are counted
INTENT_BYTES: Final = 16


class Table(Struct, frozen=True):
    """What plain SQL says of one published table: its key, and its rows' published columns."""

    key: list[str]
    rows: list[Values]


class Told(Struct, frozen=True):
    """One record of the stream, decoded.

    Attributes:
        offset: its place.
        operation: insert, update, delete or truncate.
        table: its name.
        values: of the row afterwards; None where there is none.
    """

    offset: int
    operation: str
    table: str
    values: Values | None


class Streamed(Struct, frozen=True):
    """What came of the comparison: counts, and where the first faults of each kind are.

    Attributes:
        records: in the stream.
        versions: of rows that must be in it.
        missing: versions of rows that are not in the stream.
        repeated: records of a version that was there before.
        strange: records that no row explains: an operation that never happens to the table, a
            version beyond the row's, a row that the table does not have.
        different: records that say otherwise than the row.
        named: the first of them, in words.
    """

    records: int
    versions: int
    missing: int
    repeated: int
    strange: int
    different: int
    named: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the stream holds each version once, and nothing else."""
        return self.records > 0 and not (
            self.missing or self.repeated or self.strange or self.different
        )

    def document(self) -> dict[str, int]:
        """The counts."""
        return {
            name: getattr(self, name)
            for name in ("records", "versions", "missing", "repeated", "strange", "different")
        }


def compare(tables: Mapping[str, Table], records: Iterable[Told]) -> Streamed:
    """Hold a whole stream to all published tables."""
    found: dict[str, list[str]] = {
        kind: [] for kind in ("missing", "repeated", "strange", "different")
    }
    told: defaultdict[str, dict[tuple[Key, int], Told]] = defaultdict(dict)
    count = 0
    for one in records:
        count += 1
        if (fault := _misplaced(tables, one)) is not None:
            found["strange"].append(f"{fault} at {one.offset}")
            continue
        version = _version(tables[one.table], one)
        if version in told[one.table]:
            found["repeated"].append(f"{_named(one.table, version)} at {one.offset}")
        told[one.table].setdefault(version, one)
    versions = 0
    for name, table in tables.items():
        there = told[name]
        for wanted, row in _wanted(name, table):
            versions += 1
            record = there.pop(wanted, None)
            if record is None:
                found["missing"].append(_named(name, wanted))
            elif row is not None and record.values != row:
                found["different"].append(f"{_named(name, wanted)} at {record.offset}")
        found["strange"] += (
            f"{_named(name, version)} at {left.offset}" for version, left in there.items()
        )
    return Streamed(
        records=count,
        versions=versions,
        **{kind: len(faults) for kind, faults in found.items()},
        named=tuple(
            f"{kind}: {fault}" for kind, faults in found.items() for fault in faults[:NAMED_MAX]
        ),
    )


def _misplaced(tables: Mapping[str, Table], record: Told) -> str | None:
    """What is wrong with a record whatever the rows say."""
    if record.table not in tables or record.values is None:
        return f"{record.operation} of {record.table}"
    if record.operation == "insert" or (record.operation, record.table) == ("update", VERSIONED):
        return None
    return f"{record.operation} of {record.table}"


def _version(table: Table, record: Told) -> tuple[Key, int]:
    assert record.values is not None
    return _key(table, record.values), _number(record.table, record.values)


def _key(table: Table, row: Values) -> Key:
    return tuple(row.get(name) for name in table.key)


def _number(table: str, row: Values) -> int:
    """The version of a row that has several, else 0."""
    return int.from_bytes(row[VERSION] or b"") if table == VERSIONED else 0


def _wanted(name: str, table: Table) -> Iterator[tuple[tuple[Key, int], Values | None]]:
    """Every version that must be there, and its values where the table still has them."""
    for row in table.rows:
        key, newest = _key(table, row), _number(name, row)
        for number in range(1, newest):
            yield (key, number), None
        yield (key, newest), row


def _named(table: str, version: tuple[Key, int]) -> str:
    key, number = version
    first, *others = (part or b"" for part in key)
    payment = public_id("pi", first) if len(first) == INTENT_BYTES else first.hex()
    words = [table, payment, *(part.hex() for part in others)]
    return " ".join([*words, f"version {number}"] if number else words)
