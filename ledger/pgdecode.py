"""Postgres binary results, unpacked a whole column at a time.

The counterpart of `ledger.pgtypes`. A column of integers is one `struct.unpack`; uuid and bytea
are used as they come. The type is taken from the result's own description (its oid), so a query
that changes its columns cannot be read as what it used to be.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, unpack
from typing import Any, Final

from ledger.pgtypes import (
    ARRAY_HEADER,
    BOOL,
    BPCHAR,
    BYTEA,
    DATE,
    EMPTY_ARRAY,
    INT2,
    INT4,
    INT8,
    JSON,
    JSONB,
    LENGTH,
    NAME,
    OID,
    PG_LSN,
    POSTGRES_EPOCH_US,
    TEXT,
    TIMESTAMPTZ,
    TRUE,
    UUID,
    VARCHAR,
    VOID,
)

Cells = list[bytes | None]


def _bytes_column(cells: Cells) -> list[Any]:
    return cells


def _text_column(cells: Cells) -> list[Any]:
    if None in cells:
        return [None if cell is None else cell.decode() for cell in cells]
    return [cell.decode() for cell in cells]  # type: ignore[union-attr]


def _fixed_column(code: str, base: int = 0) -> Callable[[Cells], list[Any]]:
    single = Struct("!" + code)

    def decode(cells: Cells) -> list[Any]:
        if None in cells:
            return [None if cell is None else single.unpack(cell)[0] + base for cell in cells]
        values = unpack(f"!{len(cells)}{code}", b"".join(cells))  # type: ignore[arg-type]
        return [value + base for value in values] if base else list(values)

    return decode


def _bool_column(cells: Cells) -> list[Any]:
    return [None if cell is None else cell == TRUE for cell in cells]


def _jsonb_column(cells: Cells) -> list[Any]:
    return [None if cell is None else cell[1:] for cell in cells]


_ELEMENT_DECODERS: Final[dict[int, Callable[[Cells], list[Any]]]] = {
    BOOL: _bool_column,
    BYTEA: _bytes_column,
    NAME: _text_column,
    INT8: _fixed_column("q"),
    INT2: _fixed_column("h"),
    INT4: _fixed_column("i"),
    TEXT: _text_column,
    OID: _fixed_column("I"),
    BPCHAR: _text_column,
    VARCHAR: _text_column,
    DATE: _fixed_column("i"),
    TIMESTAMPTZ: _fixed_column("q", POSTGRES_EPOCH_US),
    UUID: _bytes_column,
    JSON: _bytes_column,
    VOID: _bytes_column,
    PG_LSN: _fixed_column("Q"),
    JSONB: _jsonb_column,
}

_ARRAY_OIDS: Final = (
    1000,  # boolean[]
    1001,  # bytea[]
    1003,  # name[]
    1005,  # smallint[]
    1007,  # integer[]
    1009,  # text[]
    1014,  # character[]
    1015,  # character varying[]
    1016,  # bigint[]
    1028,  # oid[]
    1182,  # date[]
    1185,  # timestamptz[]
    2951,  # uuid[]
    3807,  # jsonb[]
)


def decode_array(data: bytes) -> list[Any]:
    """Unpack a one-dimensional array; its header names the element type.

    Raises:
        LookupError: For an element type outside this module.
        ValueError: For more than one dimension.
    """
    dimensions, _, oid = EMPTY_ARRAY.unpack_from(data)
    if dimensions == 0:
        return []
    if dimensions != 1:
        raise ValueError(f"{dimensions}-dimensional arrays are not used here")
    (count,) = LENGTH.unpack_from(data, EMPTY_ARRAY.size)
    cells: Cells = []
    offset = ARRAY_HEADER.size
    for _ in range(count):
        (size,) = LENGTH.unpack_from(data, offset)
        offset += 4
        if size < 0:
            cells.append(None)
        else:
            cells.append(data[offset : offset + size])
            offset += size
    return column_decoder(oid)(cells)


def _array_column(cells: Cells) -> list[Any]:
    return [None if cell is None else decode_array(cell) for cell in cells]


_DECODERS: Final = _ELEMENT_DECODERS | dict.fromkeys(_ARRAY_OIDS, _array_column)


def column_decoder(oid: int) -> Callable[[Cells], list[Any]]:
    """Find the function that unpacks a whole column of type `oid`; NULL becomes None.

    Integers become int, boolean bool, text types str, uuid and bytea bytes, timestamptz int
    (Unix microseconds), date int (days since 2000-01-01), json and jsonb bytes (the
    document), pg_lsn int, arrays lists of those.

    Raises:
        LookupError: For a type this module does not know, rather than a guess at its bytes.
    """
    try:
        return _DECODERS[oid]
    except KeyError:
        raise LookupError(f"no decoder for results of type oid {oid}") from None
