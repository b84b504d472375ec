"""Postgres binary values: parameters are packed here, `ledger.pgdecode` unpacks results.

Every parameter crosses in Postgres' binary format, so a batch of n rows costs a few joins and
`struct.pack` calls rather than n conversions. The layouts are those of the `*send`/`*recv`
functions in PostgreSQL's `src/backend/utils/adt`; arrays are `array_recv`:

    int32 dimensions (1) · int32 has-null flag · int32 element type · int32 length · int32 lower
    bound (1), then per element int32 byte count (-1 = NULL) and its bytes

An instant is microseconds since 1970-01-01 UTC on our side and since 2000-01-01 in Postgres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, repeat
from struct import Struct
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

ARRAY_HEADER: Final = Struct("!iiIii")
EMPTY_ARRAY: Final = Struct("!iiI")
LENGTH: Final = Struct("!i")
_NULL = LENGTH.pack(-1)
_UUID_LENGTH = LENGTH.pack(UUID_BYTES)
_INT2 = Struct("!h")
_INT4 = Struct("!i")
_INT8 = Struct("!q")
# An element of an array with its byte count before it.
_INT2_CELL = Struct("!ih")
_INT4_CELL = Struct("!ii")
_INT8_CELL = Struct("!iq")
JSONB_VERSION: Final = b"\x01"
TRUE: Final = b"\x01"
FALSE: Final = b"\x00"
_TRUE_CELL = LENGTH.pack(1) + TRUE
_FALSE_CELL = LENGTH.pack(1) + FALSE


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
    return TRUE if value else FALSE


def timestamptz_(unix_us: int) -> bytes:
    """Pack an instant given in microseconds since 1970-01-01 UTC."""
    return _INT8.pack(unix_us - POSTGRES_EPOCH_US)


def jsonb_(document: bytes) -> bytes:
    """Pack an encoded JSON document (UTF-8)."""
    return JSONB_VERSION + document


# -------------------------------------------------------------------------- array parameters


def uuid_array(values: Sequence[bytes | None]) -> bytes:
    """Pack uuid[]; each value 16 bytes, or None for NULL."""
    if None in values:
        return _array_with_nulls(UUID, values, uuid_)
    if set(map(len, values)) - {UUID_BYTES}:  # type: ignore[arg-type]
        raise ValueError(f"a uuid has {UUID_BYTES} bytes; one of {len(values)} does not")
    return _array(UUID, len(values), _UUID_LENGTH + _UUID_LENGTH.join(values))  # type: ignore[arg-type]


def int2_array(values: Sequence[int | None]) -> bytes:
    """Pack smallint[]."""
    return _fixed_array(INT2, _INT2_CELL, values, int2_)


def int4_array(values: Sequence[int | None]) -> bytes:
    """Pack integer[]."""
    return _fixed_array(INT4, _INT4_CELL, values, int4_)


def int8_array(values: Sequence[int | None]) -> bytes:
    """Pack bigint[]."""
    return _fixed_array(INT8, _INT8_CELL, values, int8_)


def timestamptz_array(values: Sequence[int | None]) -> bytes:
    """Pack timestamptz[] from microseconds since 1970-01-01 UTC."""
    return _fixed_array(TIMESTAMPTZ, _INT8_CELL, values, timestamptz_, epoch=POSTGRES_EPOCH_US)


def bool_array(values: Sequence[bool | None]) -> bytes:
    """Pack boolean[]."""
    if None in values:
        return _array_with_nulls(BOOL, values, bool_)
    cells = [_TRUE_CELL if value else _FALSE_CELL for value in values]
    return _array(BOOL, len(values), b"".join(cells))


def text_array(values: Sequence[str | None]) -> bytes:
    """Pack text[] as UTF-8."""
    if None in values:
        return _array_with_nulls(TEXT, values, text_)
    body = _short_texts(values)  # type: ignore[arg-type]
    if body.isascii():  # then the lengths in it are those of the bytes
        return _array(TEXT, len(values), body.encode())
    return _varying_array(TEXT, [value.encode() for value in values])  # type: ignore[union-attr]


def bytea_array(values: Sequence[bytes | None]) -> bytes:
    """Pack bytea[]."""
    if None in values:
        return _array_with_nulls(BYTEA, values, bytea_)
    return _varying_array(BYTEA, values)  # type: ignore[arg-type]


def _fixed_array(
    oid: int,
    cell: Struct,
    values: Sequence[Any],
    encode: Callable[[Any], bytes],
    *,
    epoch: int = 0,
) -> bytes:
    if None in values:
        return _array_with_nulls(oid, values, encode)
    size = cell.size - LENGTH.size
    if values and values.count(values[0]) == len(values):  # one instant, one phase, no amount
        return _array(oid, len(values), cell.pack(size, values[0] - epoch) * len(values))
    # One compiled layout per element: a layout of the whole array would be compiled for each
    # length of batch, which costs more than packing it.
    if epoch:
        values = [value - epoch for value in values]
    return _array(oid, len(values), b"".join(map(cell.pack, repeat(size), values)))


def _short_texts(values: Sequence[str]) -> str:
    """The body of an array of short ASCII texts, as one text to be encoded at once.

    It is not ASCII where a text or a length is not: such values must go one by one.
    """
    lengths = set(map(len, values))
    if len(lengths) == 1:  # as in most columns
        prefix = _length_text(*lengths)
        return prefix + prefix.join(values)
    prefixes = {length: _length_text(length) for length in lengths}
    return "".join([prefixes[len(value)] + value for value in values])


def _length_text(length: int) -> str:
    """Four characters that are an int32 in ASCII, or not ASCII for a length above 127."""
    return f"\0\0\0{chr(min(length, 128))}"


def _varying_array(oid: int, values: Sequence[bytes]) -> bytes:
    lengths = set(map(len, values))
    if len(lengths) == 1:
        prefix = LENGTH.pack(*lengths)
        return _array(oid, len(values), prefix + prefix.join(values))
    length = LENGTH.pack
    body = b"".join(chain.from_iterable(zip(map(length, map(len, values)), values, strict=True)))
    return _array(oid, len(values), body)


def _array_with_nulls(oid: int, values: Sequence[Any], encode: Callable[[Any], bytes]) -> bytes:
    parts = [ARRAY_HEADER.pack(1, 1, oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            data = encode(value)
            parts += (LENGTH.pack(len(data)), data)
    return b"".join(parts)


def _array(oid: int, count: int, body: bytes) -> bytes:
    if count == 0:
        return EMPTY_ARRAY.pack(0, 0, oid)
    return ARRAY_HEADER.pack(1, 0, oid, count, 1) + body
