"""Lengths in front of a message: one row for each way in which networks write them.

    kind               bytes of a length of 258     who
    binary2            01 02                        jPOS PostChannel, moov Binary2Bytes
    binary2_inclusive  01 04                        Amex: counts its own two bytes
    binary2_zeros      01 02 00 00                  jPOS CSChannel, VAPChannel
    zeros_binary2      00 00 01 02                  GICC
    binary3            00 01 02                     CMF
    binary4            00 00 01 02                  jPOS RawChannel
    bcd2               02 58                        jPOS NCCChannel, BCDChannel; at most 9999
    ascii4             30 32 35 38 ("0258")         jPOS ASCIIChannel, moov ASCII4Bytes
    hex4               30 31 30 32 ("0102")         jPOS HEXChannel; either case is read
    vmlh               01 02 00 00                  moov VMLH: the last byte holds flags

Nothing but the form shown is read: no sign, space or underscore among digits, nothing but zeros
where zeros stand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs

from chassis.framing import FrameError
from switch.dialects.framings import LengthKind

_HEX: Final = frozenset(b"0123456789ABCDEFabcdef")
_ZEROS: Final = bytes(2)
_MESSAGE: Final = 0x00  # the last byte of a VMLH: an ordinary message ...
_SESSION_CONTROL: Final = 0x20  # ... or a sign of life after ten idle seconds


@attrs.frozen
class Length:
    """One way to write a length.

    Attributes:
        size: bytes.
        read: returns the number; raises FrameError for bytes of another form.
        write: its inverse, for a number within bounds.
        counts_itself: whether the number counts the length's own bytes.
        control: whether a header announces something that is no message.
    """

    size: int
    read: Callable[[bytes], int]
    write: Callable[[int], bytes]
    counts_itself: bool = False
    control: Callable[[bytes], bool] = lambda _: False


def _read_binary(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _write_binary(size: int, length: int) -> bytes:
    return length.to_bytes(size, "big")


def _binary(size: int, *, counts_itself: bool = False) -> Length:
    return Length(size, _read_binary, partial(_write_binary, size), counts_itself)


def _read_zeros_behind(data: bytes) -> int:
    if data[2:] != _ZEROS:
        raise FrameError("the two bytes behind the length are not zero")
    return int.from_bytes(data[:2], "big")


def _read_zeros_before(data: bytes) -> int:
    if data[:2] != _ZEROS:
        raise FrameError("the two bytes before the length are not zero")
    return int.from_bytes(data[2:], "big")


def _read_bcd(data: bytes) -> int:
    digits = data.hex()
    if not digits.isdecimal():
        raise FrameError("the length is not BCD")
    return int(digits)


def _read_ascii(data: bytes) -> int:
    if not data.isdigit():
        raise FrameError("the length is not four ASCII digits")
    return int(data)


def _read_hex(data: bytes) -> int:
    if not _HEX.issuperset(data):
        raise FrameError("the length is not four ASCII hex digits")
    return int(data, 16)


def _read_vmlh(data: bytes) -> int:
    if data[2] or data[3] not in (_MESSAGE, _SESSION_CONTROL):
        raise FrameError("the two bytes behind the length are no flags of a message")
    return int.from_bytes(data[:2], "big")


LENGTHS: Final = MappingProxyType[LengthKind, Length](
    {
        "binary2": _binary(2),
        "binary2_inclusive": _binary(2, counts_itself=True),
        "binary2_zeros": Length(4, _read_zeros_behind, lambda n: n.to_bytes(2, "big") + _ZEROS),
        "zeros_binary2": Length(4, _read_zeros_before, lambda n: _ZEROS + n.to_bytes(2, "big")),
        "binary3": _binary(3),
        "binary4": _binary(4),
        "bcd2": Length(2, _read_bcd, lambda n: bytes.fromhex(f"{n:04d}")),
        "ascii4": Length(4, _read_ascii, lambda n: b"%04d" % n),
        "hex4": Length(4, _read_hex, lambda n: b"%04X" % n),
        "vmlh": Length(
            4,
            _read_vmlh,
            lambda n: n.to_bytes(2, "big") + _ZEROS,
            control=lambda data: data[3] == _SESSION_CONTROL,
        ),
    }
)
