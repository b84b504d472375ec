"""Which event a change is, whatever way it came: by table, primary key and version.

A position in the WAL names a change only as long as the WAL lasts. The key of the row and, for the
one table whose rows change, its version, name the same event in the stream, in the tables and after
a failover (design 5). For repairs the name is a digest: they compare millions of them.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from ledger.errors import PgoutputError
from ledger.pgoutput import TUPLE_AT, RowShape, read_tuple

KEY_BYTES: Final = 16
VERSION_COLUMNS: Final = {"payment_intents": "version"}

Cells = list[bytes | None]
KeyOf = Callable[[Cells], bytes]


def key_columns(shape: RowShape) -> list[int]:
    """The columns that name an event of a table: its primary key, and the version if it has one.

    Raises:
        PgoutputError: the table has no primary key, or lacks its version.
    """
    places = [place for place, column in enumerate(shape.columns) if column.is_key]
    if not places:
        raise PgoutputError(f"R {shape.table}", "it has no primary key")
    if (version := VERSION_COLUMNS.get(shape.table)) is not None:
        names = [column.name for column in shape.columns]
        if version not in names:
            raise PgoutputError(f"R {shape.table}", f"its column {version} is not published")
        places.append(names.index(version))
    return places


def key_of(shape: RowShape) -> KeyOf:
    """A function from a row's cells, in binary format, to the event's key."""
    places = key_columns(shape)
    table = shape.table.encode()

    def key(cells: Cells) -> bytes:
        digest = blake2b(table, digest_size=KEY_BYTES)
        for place in places:
            cell = cells[place] or b""
            digest.update(len(cell).to_bytes(4) + cell)
        return digest.digest()

    return key


def change_key(shape: RowShape) -> Callable[[bytes], bytes | None]:
    """A function from an insert or update to the event's key; None for other changes."""
    key = key_of(shape)
    columns_max = key_columns(shape)[-1] + 1

    def of(change: bytes) -> bytes | None:
        if change[0] not in b"IU":
            return None
        at = TUPLE_AT
        if change[at] in b"KO":
            _, at = read_tuple(change, at + 1, shape, shape.table)
        cells, _ = read_tuple(change, at + 1, shape, shape.table, columns_max=columns_max)
        return key(cells)

    return of
