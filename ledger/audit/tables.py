"""Tables as the database has them, and as a descriptor of the stream tells of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from ledger.errors import PgoutputError
from ledger.ids import Prefix, public_id
from ledger.pgoutput import RowShape, read_relation
from ledger.pgtypes import UUID
from ledger.stream.changes import uuid_text
from ledger.stream.events import VERSION_COLUMNS

FIXED_COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "payment_intents": frozenset(
        {
            "merchant_id",
            "amount_minor",
            "created_at",
            "live",
            "allow_partial",
            "currency",
            "capture_method",
        }
    )
}
_PUBLIC: Final[Mapping[str, Mapping[str, Prefix]]] = {
    "payment_intents": {"id": "pi"},
    "transactions": {"intent_id": "pi", "id": "txn"},
    "attempts": {"intent_id": "pi", "id": "att"},
    "outcomes": {"intent_id": "pi", "attempt_id": "att"},
    "postings": {"source_event": "evt"},  # what begins their key may be a payout, too
}

Cells = Sequence[bytes | None]


@attrs.frozen
class Column:
    """A column as the database has it."""

    name: str
    type_oid: int
    is_key: bool


@attrs.frozen
class TableRows:
    """A table as the database has it, with the columns that may be read.

    Attributes:
        name: without its schema.
        columns: in their order; the first is the payment intent's id.
        key: places of the primary key's columns.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[int, ...] = attrs.field(init=False)

    @key.default
    def _key(self) -> tuple[int, ...]:
        return tuple(place for place, column in enumerate(self.columns) if column.is_key)

    def key_name(self, packed: bytes) -> str:
        """Table and key for people, with public ids where there are any."""
        prefixes = _PUBLIC.get(self.name, {})
        words, at = [self.name], 0
        for place in self.key:
            column = self.columns[place]
            cell = packed[at + 1 : at + 1 + packed[at]]
            at += 1 + packed[at]
            if column.type_oid != UUID:
                words.append(f"{column.name}={int.from_bytes(cell, signed=True)}")
            elif column.name in prefixes:
                words.append(public_id(prefixes[column.name], cell))
            else:
                words.append(uuid_text(cell))
        return " ".join(words)


@attrs.frozen
class Shape:
    """How the rows of one descriptor are read, and which of their columns are compared.

    Attributes:
        oid: of the relation, four bytes.
        row: its columns.
        table: as the database has it now.
        key: places in the record of the primary key's columns.
        own: places in the record of the compared columns.
        other: places of the same columns in the table's rows.
        fixed: places in the record of the columns that never change.
        version: place in the record; None where rows have none.
        not_compared: columns that only one of the two has, or with another type.
        unheld: those of the table among them, with their places in its rows.
    """

    oid: bytes
    row: RowShape
    table: TableRows
    key: tuple[int, ...]
    own: tuple[int, ...]
    other: tuple[int, ...]
    fixed: tuple[int, ...]
    version: int | None
    not_compared: frozenset[str]
    unheld: tuple[tuple[str, int], ...]


def shape_of(descriptor: bytes, tables: Mapping[str, TableRows]) -> Shape:
    """Match a descriptor with its table.

    Raises:
        PgoutputError: it is malformed, or there is no such table, or no such key.
    """
    oid, row = read_relation(descriptor)
    table = tables.get(row.table)
    if table is None:
        raise PgoutputError(row.table, "the stream has changes of a table that cannot be read")
    own = {column.name: (place, column.type_oid) for place, column in enumerate(row.columns)}
    shared = {
        column.name: (own[column.name][0], place)
        for place, column in enumerate(table.columns)
        if column.name in own and own[column.name][1] == column.type_oid
    }
    keys = [table.columns[place].name for place in table.key]
    if not keys or not shared.keys() >= set(keys):
        raise PgoutputError(row.table, "its records do not have the columns of its key")
    version = VERSION_COLUMNS.get(row.table)
    fixed = FIXED_COLUMNS.get(row.table, frozenset())
    columns = {*own, *(column.name for column in table.columns)}
    return Shape(
        oid=oid,
        row=row,
        table=table,
        key=tuple(own[name][0] for name in keys),
        own=tuple(place for place, _ in shared.values()),
        other=tuple(place for _, place in shared.values()),
        fixed=tuple(place for name, (place, _) in shared.items() if name in fixed),
        version=own[version][0] if version in own else None,
        not_compared=frozenset(f"{row.table}.{name}" for name in columns - shared.keys()),
        unheld=tuple(
            (f"{row.table}.{column.name}", place)
            for place, column in enumerate(table.columns)
            if column.name not in shared
        ),
    )


def packed_key(cells: Cells, places: Sequence[int]) -> bytes:
    """The cells of a key, each after its length in one byte."""
    parts: list[bytes] = []
    for place in places:
        cell = cells[place] or b""
        parts += (bytes([len(cell)]), cell)
    return b"".join(parts)
