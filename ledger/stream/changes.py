"""A change's rows, read by the descriptor of their table: for consumers, not for the relay.

The relay passes changes on as they are; whoever wants to know what they say reads them here, a
column at a time and no earlier than asked for. Values are in Postgres' binary format and understood
by their type's oid; one that is unknown, or is in text format, is an error and not a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812  an exception by its module's name
from typing import Any, Final

import msgspec

from ledger.errors import PgoutputError
from ledger.pgdecode import column_decoder
from ledger.pgoutput import Column, read_relation
from ledger.pgtypes import BYTEA, DATE, JSON, JSONB, TIMESTAMPTZ, UUID, UUID_BYTES
from ledger.stream.errors import RecordError

Cell = bytes | None
Value = Any  # int, bool, str, bytes, or None: as `ledger.pgdecode.column_decoder` says

_COUNT: Final = Layout(">H")
_LENGTH: Final = Layout(">i")
_LENGTH_BYTES: Final = _LENGTH.size
_TUPLE_AT: Final = 5  # letter and relation come first
_NULL: Final = ord("n")
_UNCHANGED: Final = ord("u")
_BINARY: Final = ord("b")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_POSTGRES_DAY_0: Final = date(2000, 1, 1)


class Table(msgspec.Struct, frozen=True):
    """A published table as one descriptor tells it."""

    name: str
    columns: tuple[Column, ...]


class Row(msgspec.Struct, frozen=True):
    """One version of a row, not yet decoded.

    Attributes:
        table: whose row it is.
        cells: in the order of the table's columns; None is NULL.
        missing: columns whose values the change does not carry: large ones that an update left
            as they were, and of a deleted row all but the key.
    """

    table: Table
    cells: tuple[Cell, ...]
    missing: frozenset[str] = frozenset()

    def get(self, name: str) -> Value:
        """One column by its name; None where the row does not have it, too.

        Raises:
            RecordError: it is not what its type should be.
        """
        for column, cell in zip(self.table.columns, self.cells, strict=True):
            if column.name == name:
                return _decoded(column, cell, self.table)
        return None

    def key(self) -> dict[str, Value]:
        """The primary key by column; raises RecordError."""
        pairs = zip(self.table.columns, self.cells, strict=True)
        return {
            column.name: _decoded(column, cell, self.table)
            for column, cell in pairs
            if column.is_key
        }

    def values(self) -> dict[str, Value]:
        """The columns by name, as `ledger.pgdecode` decodes them: ids are 16 bytes, instants µs.

        Raises:
            RecordError: a value is not what its type should be.
        """
        return {
            column.name: _decoded(column, cell, self.table)
            for column, cell in zip(self.table.columns, self.cells, strict=True)
            if column.name not in self.missing
        }

    def document(self) -> dict[str, Any]:
        """The columns by name, as they stand in JSON; docs/events.md lists the forms.

        Raises:
            RecordError: a value is not what its type should be.
        """
        forms = {column.name: _FORMS.get(column.type_oid) for column in self.table.columns}
        document = self.values()
        for name, value in document.items():
            if value is not None and (form := forms[name]) is not None:
                try:
                    document[name] = form(value)
                except (ValueError, OverflowError, msgspec.DecodeError):
                    raise RecordError(f"{self.table.name}.{name}", "no such value") from None
        return document


class Change(msgspec.Struct, frozen=True):
    """What happened to a row.

    Attributes:
        old: of a delete or an update, as far as the change carries it: usually not at all.
        new: of an insert or update.
    """

    old: Row | None
    new: Row | None


def read_table(descriptor: bytes) -> Table:
    """Read a descriptor.

    Raises:
        RecordError: it is none.
    """
    if descriptor[:1] != b"R":
        raise RecordError("descriptor", "it is no relation message")
    try:
        _, shape = read_relation(descriptor)
    except PgoutputError as error:
        raise RecordError("descriptor", str(error)) from None
    return Table(shape.table, shape.columns)


def read_change(change: bytes, table: Table) -> Change:
    """Find the rows in a change.

    Args:
        change: from its letter on.
        table: of its descriptor.

    Raises:
        RecordError: it is not a change of this table.
    """
    kind = change[:1]
    if kind == b"T":
        return Change(None, None)
    old: Row | None = None
    at = _TUPLE_AT
    if kind in b"UD" and change[at : at + 1] in (b"K", b"O"):
        old, at = _read_row(change, at + 1, table, key_only=change[at : at + 1] == b"K")
    if kind == b"D":
        if old is None:
            raise RecordError(table.name, "the old key is missing")
        return Change(_to_the_end(change, at, old), None)
    if change[at : at + 1] != b"N":
        raise RecordError(table.name, "the new row is missing")
    new, at = _read_row(change, at + 1, table, key_only=False)
    return Change(old, _to_the_end(change, at, new))


def rfc3339(unix_us: int) -> str:
    """An instant as RFC 3339 writes it, with microseconds and Z; raises OverflowError."""
    seconds, fraction_us = divmod(unix_us, 1_000_000)
    return f"{_second(seconds)}.{fraction_us:06}Z"


@lru_cache(maxsize=1_024)  # events come in the order of time: a second is written once
def _second(unix_s: int) -> str:
    return (_EPOCH + timedelta(seconds=unix_s)).strftime("%Y-%m-%dT%H:%M:%S")


def uuid_text(value: bytes) -> str:
    """Sixteen bytes as RFC 9562 writes a UUID; raises ValueError for any other length."""
    if len(value) != UUID_BYTES:
        raise ValueError(f"a uuid has {UUID_BYTES} bytes, not {len(value)}")
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _to_the_end(change: bytes, at: int, row: Row) -> Row:
    if at != len(change):
        raise RecordError(row.table.name, f"{len(change) - at} bytes follow the last column")
    return row


def _read_row(change: bytes, at: int, table: Table, *, key_only: bool) -> tuple[Row, int]:
    cells: list[Cell] = []
    missing: set[str] = set()
    if key_only:
        missing = {column.name for column in table.columns if not column.is_key}
    end, length_at = len(change), _LENGTH.unpack_from  # this runs once a cell
    try:
        (count,) = _COUNT.unpack_from(change, at)
        if count != len(table.columns):
            reason = f"{count} columns; its descriptor has {len(table.columns)}"
            raise RecordError(table.name, reason)
        at += _COUNT.size
        for column in table.columns:
            kind = change[at]
            at += 1
            if kind == _BINARY:
                (length,) = length_at(change, at)
                start = at + _LENGTH_BYTES
                at = start + length
                if length < 0 or at > end:
                    raise RecordError(f"{table.name}.{column.name}", "its length is impossible")
                cells.append(change[start:at])
                continue
            if kind == _UNCHANGED:
                missing.add(column.name)
            elif kind != _NULL:
                raise RecordError(f"{table.name}.{column.name}", "it is not in binary format")
            cells.append(None)
    except (LayoutError, IndexError):
        raise RecordError(table.name, "the change is cut short") from None
    return Row(table, tuple(cells), frozenset(missing)), at


def _decoded(column: Column, cell: Cell, table: Table) -> Value:
    place = f"{table.name}.{column.name}"
    try:
        return column_decoder(column.type_oid)([cell])[0]
    except LookupError:
        raise RecordError(place, f"type oid {column.type_oid} is unknown here") from None
    except (LayoutError, ValueError):
        raise RecordError(place, "its bytes are not of its type") from None


def _date(days: int) -> str:
    return (_POSTGRES_DAY_0 + timedelta(days=days)).isoformat()


# How values of some types look in JSON; the others stand as they are.
_FORMS: Final[dict[int, Callable[[Any], Any]]] = {
    UUID: uuid_text,
    BYTEA: bytes.hex,
    TIMESTAMPTZ: rfc3339,
    DATE: _date,
    JSON: msgspec.json.decode,
    JSONB: msgspec.json.decode,
}
