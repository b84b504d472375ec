"""Postgres binary values: parameters packed here, results unpacked here.

Every parameter and every result crosses in Postgres' binary format, so a batch of n rows costs a
few joins and `struct.pack` calls rather than n conversions. The layouts are those of the
`*send`/`*recv` functions in PostgreSQL's `src/backend/utils/adt`; arrays are `array_recv`:

    int32 dimensions (1) · int32 has-null flag · int32 element type · int32 length · int32 lower
    bound (1), then per element int32 byte count (-1 = NULL) and its bytes

An instant is microseconds since 1970-01-01 UTC on our side and since 2000-01-01 in Postgres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, repeat
from struct import Struct, pack, unpack
from typing import Any, Final

BOOL: Final = 16
BYTEA: Final = 17
NAME: Final = 19
INT8: Final = 20
INT2: Final = 21
INT4: Final = 23
TEXT: Final = 25
OID: Final = 26
JSON: Final = 114
BPCHAR: Final = 1042
VARCHAR: Final = 1043
DATE: Final = 1082
TIMESTAMPTZ: Final = 1184
VOID: Final = 2278
UUID: Final = 2950
PG_LSN: Final = 3220
JSONB: Final = 3802

POSTGRES_EPOCH_US: Final = 946_684_800_000_000  # 2000-01-01T00:00:00Z in Unix microseconds
UUID_BYTES: Final = 16

Cells = list[bytes | None]

_ARRAY_HEADER = Struct("!iiIii")
_EMPTY_ARRAY = Struct("!iiI")
_LENGTH = Struct("!i")
_NULL = _LENGTH.pack(-1)
_UUID_LENGTH = _LENGTH.pack(UUID_BYTES)
_INT2 = Struct("!h")
_INT4 = Struct("!i")
_INT8 = Struct("!q")
_JSONB_VERSION = b"\x01"
_TRUE, _FALSE = b"\x01", b"\x00"


# ------------------------------------------------------------------------- scalar parameters


def uuid_(value: bytes) -> bytes:
    """Pack a UUID given as its 16 bytes; raises ValueError for any other length."""
    if len(value) != UUID_BYTES:
        raise ValueError(f"a uuid has {UUID_BYTES} bytes, not {len(value)}")
    return value


def int2_(value: int) -> bytes:
    """Pack a smallint; raises struct.error out of its range."""
    return _INT2.pack(value)


def int4_(value: int) -> bytes:
    """Pack an integer; raises struct.error out of its range."""
    return _INT4.pack(value)


def int8_(value: int) -> bytes:
    """Pack a bigint; raises struct.error out of its range."""
    return _INT8.pack(value)


def text_(value: str) -> bytes:
    """Pack text as UTF-8; Postgres itself refuses U+0000 (SQLSTATE 22021)."""
    return value.encode()


def bytea_(value: bytes) -> bytes:
    """Pack bytes: they are their own binary form."""
    return value


def bool_(value: bool) -> bytes:  # noqa: FBT001  a value to pack, not a switch
    """Pack a boolean."""
    return _TRUE if value else _FALSE


def timestamptz_(unix_us: int) -> bytes:
    """Pack an instant given in microseconds since 1970-01-01 UTC."""
    return _INT8.pack(unix_us - POSTGRES_EPOCH_US)


def jsonb_(document: bytes) -> bytes:
    """Pack an encoded JSON document (UTF-8)."""
    return _JSONB_VERSION + document


# -------------------------------------------------------------------------- array parameters


def uuid_array(values: Sequence[bytes | None]) -> bytes:
    """Pack uuid[]; each value 16 bytes, or None for NULL."""
    if None in values:
        return _array_with_nulls(UUID, values, uuid_)
    if set(map(len, values)) - {UUID_BYTES}:  # type: ignore[arg-type]
        raise ValueError(f"a uuid has {UUID_BYTES} bytes; one of {len(values)} does not")
    return _array(UUID, len(values), _UUID_LENGTH.join((b"", *values)))  # type: ignore[arg-type]


def int2_array(values: Sequence[int | None]) -> bytes:
    """Pack smallint[]."""
    return _fixed_array(INT2, "ih", 2, values, int2_)


def int4_array(values: Sequence[int | None]) -> bytes:
    """Pack integer[]."""
    return _fixed_array(INT4, "ii", 4, values, int4_)


def int8_array(values: Sequence[int | None]) -> bytes:
    """Pack bigint[]."""
    return _fixed_array(INT8, "iq", 8, values, int8_)


def timestamptz_array(values: Sequence[int | None]) -> bytes:
    """Pack timestamptz[] from microseconds since 1970-01-01 UTC."""
    if None in values:
        return _array_with_nulls(TIMESTAMPTZ, values, timestamptz_)
    shifted = [value - POSTGRES_EPOCH_US for value in values]  # type: ignore[operator]
    return _fixed_array(TIMESTAMPTZ, "iq", 8, shifted, int8_)


def bool_array(values: Sequence[bool | None]) -> bytes:
    """Pack boolean[]."""
    return _fixed_array(BOOL, "i?", 1, values, bool_)


def text_array(values: Sequence[str | None]) -> bytes:
    """Pack text[] as UTF-8."""
    if None in values:
        return _array_with_nulls(TEXT, values, text_)
    return _varying_array(TEXT, [value.encode() for value in values])  # type: ignore[union-attr]


def bytea_array(values: Sequence[bytes | None]) -> bytes:
    """Pack bytea[]."""
    if None in values:
        return _array_with_nulls(BYTEA, values, bytea_)
    return _varying_array(BYTEA, values)  # type: ignore[arg-type]


def _fixed_array(
    oid: int, layout: str, size: int, values: Sequence[Any], encode: Callable[[Any], bytes]
) -> bytes:
    if None in values:
        return _array_with_nulls(oid, values, encode)
    count = len(values)
    body = pack("!" + layout * count, *chain.from_iterable(zip(repeat(size), values, strict=False)))
    return _array(oid, count, body)


def _varying_array(oid: int, values: Sequence[bytes]) -> bytes:
    length = _LENGTH.pack
    body = b"".join(chain.from_iterable(zip(map(length, map(len, values)), values, strict=True)))
    return _array(oid, len(values), body)


def _array_with_nulls(oid: int, values: Sequence[Any], encode: Callable[[Any], bytes]) -> bytes:
    parts = [_ARRAY_HEADER.pack(1, 1, oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            data = encode(value)
            parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def _array(oid: int, count: int, body: bytes) -> bytes:
    if count == 0:
        return _EMPTY_ARRAY.pack(0, 0, oid)
    return _ARRAY_HEADER.pack(1, 0, oid, count, 1) + body


# ----------------------------------------------------------------------------------- results


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
    return [None if cell is None else cell == _TRUE for cell in cells]


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
    dimensions, _, oid = _EMPTY_ARRAY.unpack_from(data)
    if dimensions == 0:
        return []
    if dimensions != 1:
        raise ValueError(f"{dimensions}-dimensional arrays are not used here")
    (count,) = _LENGTH.unpack_from(data, _EMPTY_ARRAY.size)
    cells: Cells = []
    offset = _ARRAY_HEADER.size
    for _ in range(count):
        (size,) = _LENGTH.unpack_from(data, offset)
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
