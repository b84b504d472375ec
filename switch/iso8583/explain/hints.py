"""What may be the matter with bytes that are no message: the mistakes that people make.

Every hint names a form and a place and repeats none of the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from switch.dialects import bundled_dialects
from switch.dialects.framings import HEADER_BYTES
from switch.iso8583.dialect import Dialect, load_dialect
from switch.iso8583.errors import BITMAP_DE, MTI_DE, DecodeError, Reason
from switch.iso8583.framing.headers import TPDU_ID, VIP_BYTES, VIP_RETURNED_BYTES

_HEX: Final = frozenset(b"0123456789ABCDEFabcdef")
_ASCII_DIGITS: Final = frozenset(b"0123456789")
_EBCDIC_DIGITS: Final = frozenset(range(0xF0, 0xFA))
_VIP_FIRST_BYTES: Final = (bytes([VIP_BYTES]), bytes([VIP_RETURNED_BYTES]))
_ETX: Final = 0x03
_MESSAGE_BYTES_MIN: Final = 10


def hints(dialect: Dialect, data: bytes, error: DecodeError) -> list[str]:
    """Return what may be the matter, the likeliest first; nothing where nothing is recognized."""
    found = [*_whole(data), *_tail(dialect, data, error)]
    if error.de == MTI_DE:
        found += [*_headers(dialect, data), *_message_type(dialect, data)]
    return [*found, *_others(dialect, data)]


def _whole(data: bytes) -> Iterator[str]:
    """Forms of the whole, and lengths in front of it."""
    if len(data) >= _MESSAGE_BYTES_MIN and _HEX.issuperset(data):
        yield "all bytes are ASCII hex digits: the hex was encoded twice; decode the text it spells"
    if len(data) > _MESSAGE_BYTES_MIN:
        total = len(data)
        yield from (
            f"looks like {words}"
            for prefix, words in (
                (_binary(2, total - 2), "a 2-byte length in front (binary2): try --framed"),
                (_binary(2, total), "a 2-byte length in front, and the length includes itself"),
                (_binary(2, total - 4) + bytes(2), "a 2-byte length and two zeros in front"),
                (_binary(3, total - 3), "a 3-byte length in front (binary3)"),
                (_binary(4, total - 4), "a 4-byte length in front (binary4 or zeros_binary2)"),
                (_bcd(total - 2), "a 2-byte BCD length in front (bcd2)"),
                (b"%04d" % (total - 4), "a length of four ASCII digits in front (ascii4)"),
                (b"%04X" % (total - 4), "a length of four ASCII hex digits in front (hex4)"),
            )
            if data[: len(prefix)].upper() == prefix
        )


def _binary(size: int, length: int) -> bytes:
    return length.to_bytes(size, "big") if length < 256**size else bytes(size)


def _bcd(length: int) -> bytes:
    return bytes.fromhex(f"{length:04d}") if length < 10_000 else b"\xff\xff"


def _headers(dialect: Dialect, data: bytes) -> Iterator[str]:
    """Headers in front of the message, behind a length or at the very beginning."""
    for offset in (0, 2, 4):
        if data[offset : offset + 1] == bytes([TPDU_ID]) and _message_at(
            dialect, data, offset + HEADER_BYTES["tpdu"]
        ):
            yield f"looks like a TPDU (60 ..) at byte {offset}: the framing has a header"
        total = int.from_bytes(data[offset + 3 : offset + 5], "big")
        if data[offset : offset + 1] in _VIP_FIRST_BYTES and total == len(data) - offset:
            yield f"looks like a VIP header at byte {offset}: try --dialect vip"


def _message_type(dialect: Dialect, data: bytes) -> Iterator[str]:
    """Message types written in another way."""
    text = "" if dialect.head.mti == "bcd" else dialect.head.charset.name
    first, packed = data[:4], data[:2].hex()
    if len(first) == 4 and _ASCII_DIGITS.issuperset(first) and text != "ascii":
        yield "looks like a message type in ASCII digits: mti and text in [packing] say otherwise"
    if len(first) == 4 and _EBCDIC_DIGITS.issuperset(first) and text in ("", "ascii"):
        yield "looks like EBCDIC: try --dialect cis"
    if text and packed in dialect.mtis:
        yield "looks like a message type in BCD: try --dialect net87b or vip"
    if not text and packed.isdecimal() and packed[0] in "12":
        yield "looks like a message of the 1993 or 2003 version; the dialect is of 1987"


def _tail(dialect: Dialect, data: bytes, error: DecodeError) -> Iterator[str]:
    """What stands behind the last element."""
    if error.reason is Reason.TRAILING_BYTES:
        count = len(data) - error.offset
        if count == 1 and data[-1] == _ETX:
            yield "the byte behind the last element is ETX: a trailer of the framing"
        elif _message_at(dialect, data, error.offset + 2):
            yield f"another frame seems to follow at byte {error.offset}"
        else:
            yield f"{count} bytes too many: an element is longer here, or lacks its bit"
    elif error.reason is Reason.TRUNCATED and error.de > BITMAP_DE:
        yield "bytes are missing: the message was cut, or an element before is shorter elsewhere"


def _others(dialect: Dialect, data: bytes) -> Iterator[str]:
    """Bundled dialects in which the bytes are a message."""
    for name in bundled_dialects():
        if name == dialect.name:
            continue
        try:
            load_dialect(name).interpreter.decode(data)
        except DecodeError:
            continue
        yield f"it is a message in another dialect: try --dialect {name}"


def _message_at(dialect: Dialect, data: bytes, offset: int) -> bool:
    """Whether a message type of the dialect stands there."""
    try:
        dialect.interpreter.mti_of(data[offset:])
    except DecodeError:
        return False
    return True
