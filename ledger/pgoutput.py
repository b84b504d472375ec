"""What `pgoutput` says about relations and their rows, read and written as bytes alone.

A change in the event stream is one of these messages as Postgres sent it, and a descriptor is the
relation message that tells its columns; the relay, the consumers and the audit log read them here.
The protocol around them is `ledger.relay.replication`.

Nobody has to decode a row to pass it on. The relay wants to know of a change which relation it
belongs to, that it looks as that relation's rows look, and the sixteen bytes of its first column,
which is the payment intent of every published table. For an insert, and for an update that leaves
the key alone, these stand at a fixed place after ten bytes that are the same in every such message,
so one comparison checks kind of tuple, number of columns, format and length at once
(`RowShape.prefix`). What does not compare equal is walked through column by column
(`first_column`).

Source: PostgreSQL manual, "Logical Replication Message Formats", protocol version 1. All integers
are big-endian.
"""

from __future__ import annotations

from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812  an exception by its module's name
from typing import Final

import msgspec

from ledger.errors import PgoutputError
from ledger.pgtypes import UUID, UUID_BYTES

RELATION: Final = ord("R")
INSERT: Final = ord("I")
UPDATE: Final = ord("U")
DELETE: Final = ord("D")
TRUNCATE: Final = ord("T")
TUPLE_AT: Final = 5  # in a change: letter and relation come first

_TRUNCATE: Final = Layout(">xIB")
_OID: Final = Layout(">I")
_COLUMN_COUNT: Final = Layout(">H")
_COLUMN_TAIL: Final = Layout(">Ii")  # type oid, type modifier
_LENGTH: Final = Layout(">i")
_UUID_CELL: Final = b"b" + _LENGTH.pack(UUID_BYTES)
_CELLS_WITHOUT_BYTES: Final = b"nu"  # NULL, and a value stored elsewhere that did not change
_CELLS_WITH_BYTES: Final = b"bt"
_OLD_TUPLES: Final = b"KO"  # the old key, the old row
_NEW_TUPLE: Final = b"N"
_KEY_COLUMN: Final = 0x01


class Column(msgspec.Struct, frozen=True, gc=False):
    """One published column of a relation."""

    name: str
    type_oid: int
    is_key: bool


class RowShape(msgspec.Struct, frozen=True, gc=False):
    """What a relation's rows look like.

    Attributes:
        table: its name; the schema is always `public`.
        columns: the published ones, in their order.
        prefix: what the tuple of every change begins with if its first column is a UUID, from the
            tuple's kind to the length of that column; empty for other relations.
    """

    table: str
    columns: tuple[Column, ...]
    prefix: bytes


# -------------------------------------------------------------------------------------- relations


def read_relation(message: bytes) -> tuple[bytes, RowShape]:
    """Read an `R`: the relation's four bytes, and what its rows look like; raises PgoutputError."""
    oid = message[1:TUPLE_AT]
    at = TUPLE_AT
    namespace, at = _text(message, at, "R schema")
    table, at = _text(message, at, "R table")
    at += 1  # replica identity: the columns' flags tell what it comes to
    columns: list[Column] = []
    try:
        (count,) = _COLUMN_COUNT.unpack_from(message, at)
        at += _COLUMN_COUNT.size
        for number in range(1, count + 1):
            flags = message[at]
            name, at = _text(message, at + 1, f"R {table} column {number}")
            type_oid, _ = _COLUMN_TAIL.unpack_from(message, at)
            at += _COLUMN_TAIL.size
            columns.append(Column(name, type_oid, bool(flags & _KEY_COLUMN)))
    except (LayoutError, IndexError):
        raise PgoutputError(f"R {table}", "it is cut short") from None
    if at != len(message):
        raise PgoutputError(f"R {table}", f"{len(message) - at} bytes follow its columns")
    if not columns:
        raise PgoutputError(f"R {table}", "it has no columns")
    if namespace != "public":
        raise PgoutputError("R schema", "only tables of the schema public are published")
    return oid, RowShape(table, tuple(columns), _prefix(columns))


def _prefix(columns: list[Column]) -> bytes:
    if columns[0].type_oid != UUID:
        return b""
    return _NEW_TUPLE + _COLUMN_COUNT.pack(len(columns)) + _UUID_CELL


def _text(message: bytes, at: int, place: str) -> tuple[str, int]:
    end = message.find(b"\0", at)
    if end < 0:
        raise PgoutputError(place, "its end is missing")
    try:
        return message[at:end].decode(), end + 1
    except UnicodeDecodeError:
        raise PgoutputError(place, "it is no UTF-8") from None


def read_truncate(message: bytes) -> list[bytes]:
    """Read a `T`: the relations that were emptied, each as its four bytes; raises PgoutputError."""
    try:
        count, _ = _TRUNCATE.unpack_from(message)
    except LayoutError:
        raise PgoutputError("T", "it is cut short") from None
    if count < 1 or len(message) != _TRUNCATE.size + 4 * count:
        raise PgoutputError("T relations", f"{count} do not fit {len(message)} bytes")
    return [message[at : at + 4] for at in range(_TRUNCATE.size, len(message), 4)]


# ------------------------------------------------------------------------------------------- rows


def first_column(message: bytes, shape: RowShape) -> bytes | None:
    """The first column of a change's newest tuple, as it came; None for NULL.

    The newest is the new row of an insert or update, and the old key or row of a delete. The slow
    and general way; every tuple is walked through to its end.

    Raises:
        PgoutputError: the message is not a change of this relation.
    """
    place = f"{chr(message[0])} {shape.table}"
    cells: list[bytes | None] = []
    at = TUPLE_AT
    kinds = message[at : at + 1]
    if message[0] != INSERT and kinds and kinds in _OLD_TUPLES:
        cells, at = read_tuple(message, at + 1, shape, place)
        kinds = message[at : at + 1]
    elif message[0] == DELETE:
        raise PgoutputError(place, "neither the old key nor the old row is there")
    if message[0] != DELETE:
        if kinds != _NEW_TUPLE:
            raise PgoutputError(place, "the new row is missing")
        cells, at = read_tuple(message, at + 1, shape, place)
    if at != len(message):
        raise PgoutputError(place, f"{len(message) - at} bytes follow its last column")
    return cells[0]


def read_tuple(
    message: bytes, at: int, shape: RowShape, place: str, *, columns_max: int | None = None
) -> tuple[list[bytes | None], int]:
    """Take a tuple apart, from its number of columns on.

    Args:
        message: the change.
        at: where the tuple's number of columns stands.
        shape: of its relation.
        place: for errors.
        columns_max: go no further than that many columns.

    Returns:
        The columns, None for NULL and for values that are stored elsewhere, and where it stopped.

    Raises:
        PgoutputError: it does not fit the relation, or is cut short.
    """
    cells: list[bytes | None] = []
    try:
        (count,) = _COLUMN_COUNT.unpack_from(message, at)
        if count != len(shape.columns):
            raise PgoutputError(place, f"{count} columns; the relation has {len(shape.columns)}")
        at += _COLUMN_COUNT.size
        for number in range(1, min(count, columns_max or count) + 1):
            kind = message[at]
            at += 1
            if kind in _CELLS_WITHOUT_BYTES:
                cells.append(None)
                continue
            if kind not in _CELLS_WITH_BYTES:
                raise PgoutputError(f"{place} column {number}", "its kind is none of n, u, t, b")
            (length,) = _LENGTH.unpack_from(message, at)
            end = at + _LENGTH.size + length
            if length < 0 or end > len(message):
                raise PgoutputError(f"{place} column {number}", "its length is impossible")
            cells.append(message[at + _LENGTH.size : end])
            at = end
    except (LayoutError, IndexError):
        raise PgoutputError(place, "it is cut short") from None
    return cells, at


# ---------------------------------------------------------------------------------------- writing


def insert_message(oid: bytes, cells: list[bytes | None]) -> bytes:
    """An `I` as the server would have sent it; cells in binary format."""
    parts = [b"I", oid, _NEW_TUPLE, _COLUMN_COUNT.pack(len(cells))]
    for cell in cells:
        parts += (b"n",) if cell is None else (b"b", _LENGTH.pack(len(cell)), cell)
    return b"".join(parts)


def relation_message(
    oid: int, table: str, replica_identity: bytes, columns: list[tuple[bool, str, int, int]]
) -> bytes:
    """An `R` as the server would have sent it.

    Args:
        oid: of the relation.
        table: its name, in the schema `public`.
        replica_identity: one byte, as `pg_class.relreplident` has it.
        columns: whether it is part of the key, name, type, type modifier.
    """
    parts = [b"R", _OID.pack(oid), b"public\0", table.encode(), b"\0", replica_identity]
    parts.append(_COLUMN_COUNT.pack(len(columns)))
    for is_key, name, type_oid, modifier in columns:
        parts += (bytes([is_key]), name.encode(), b"\0", _COLUMN_TAIL.pack(type_oid, modifier))
    return b"".join(parts)
