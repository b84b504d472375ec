"""Lookup tables that plans are made of.

Two ideas carry most of the speed:

- Bytes are checked many at a time. `data.translate(BCD)` turns each byte that may stand there
  into 0x00 and each that may not into 0x80, so `.isascii()` of the result says whether all were
  good: one pass in C over a whole run of elements.
- A length prefix is looked up, not computed. The tables hold only the prefixes of legal
  lengths, so a `KeyError` is the check of its digits, of the minimum and of the maximum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from switch.iso8583.charsets import CHARSETS, Charset
from switch.iso8583.prefixes import Prefix


def _verdicts(valid: set[int]) -> bytes:
    return bytes(0x00 if byte in valid else 0x80 for byte in range(256))


_DECIMAL: Final = range(10)
BCD: Final = _verdicts({tens << 4 | ones for tens in _DECIMAL for ones in _DECIMAL})
TRACK: Final = _verdicts({high << 4 | low for high in (*_DECIMAL, 0xD) for low in (*_DECIMAL, 0xD)})
PRINTABLE: Final = CHARSETS["ascii"].printable

SIGN_TO_HEX: Final[Mapping[str, str]] = {"C": "43", "D": "44"}  # ASCII, for a hex text


def sign_from_hex(charset: Charset) -> dict[str, str]:
    """The sign of an amount by the hex of its byte."""
    return {charset.encode(sign).hex(): sign for sign in "CD"}


def sign_bytes(charset: Charset) -> dict[str, bytes]:
    """The byte of an amount's sign."""
    return {sign: charset.encode(sign) for sign in "CD"}


def _lengths(prefix: Prefix, length_min: int, length_max: int) -> Iterator[tuple[int, bytes]]:
    """Every legal length, and its prefix."""
    for length in range(length_min, length_max + 1):
        if length % prefix.unit == 0:
            yield length, prefix.encode(length)


@cache
def hex_prefixes(prefix: Prefix, length_min: int, length_max: int) -> dict[str, int]:
    """Length by its prefix as hex text, for bytes behind a prefix: BCD "0025" gives 25."""
    return {data.hex(): length for length, data in _lengths(prefix, length_min, length_max)}


@cache
def nibble_prefixes(prefix: Prefix, length_min: int, length_max: int) -> dict[str, tuple[int, int]]:
    """Digits, and nibbles with their pad, by prefix as hex text: BCD "15" gives (15, 16)."""
    return {
        data.hex(): (length, length + length % 2)
        for length, data in _lengths(prefix, length_min, length_max)
    }


@cache
def text_prefixes(prefix: Prefix, length_min: int, length_max: int) -> dict[str, int]:
    r"""Length by its prefix as it reads in a view of text: BCD "\x00\x25" gives 25, "025" too.

    In a view of EBCDIC only a prefix of digits reads as what it is; see `byte_prefixes`.
    """
    ascii_view = prefix.charset.is_ascii
    return {
        data.decode("latin-1") if ascii_view else prefix.charset.decode(data): length
        for length, data in _lengths(prefix, length_min, length_max)
    }


@cache
def byte_prefixes(prefix: Prefix, length_min: int, length_max: int) -> dict[bytes, int]:
    r"""Length by its prefix as it stands: binary b"\x19" gives 25."""
    return {data: length for length, data in _lengths(prefix, length_min, length_max)}


@cache
def prefixes_of_nibbles(
    prefix: Prefix, length_min: int, length_max: int
) -> dict[int, tuple[str, str]]:
    """Prefix as hex text, and the pad nibble, by number of digits: 15 gives BCD ("15", "0")."""
    return {
        length: (data.hex(), "0" if length % 2 else "")
        for length, data in _lengths(prefix, length_min, length_max)
    }


@cache
def prefixes_and_pads(
    prefix: Prefix, length_min: int, length_max: int
) -> dict[int, tuple[bytes, str]]:
    r"""Prefix, and the pad nibble, by number of digits: 15 gives binary (b"\x0f", "0")."""
    return {
        length: (data, "0" if length % 2 else "")
        for length, data in _lengths(prefix, length_min, length_max)
    }


@cache
def prefixes_of_bytes(prefix: Prefix, length_min: int, length_max: int) -> dict[int, bytes]:
    r"""Prefix by length: 25 gives BCD b"\x00\x25"."""
    return dict(_lengths(prefix, length_min, length_max))
