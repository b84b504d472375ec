"""Lookup tables that plans are made of.

Two ideas carry most of the speed:

- Bytes are checked many at a time. `data.translate(BCD)` turns each byte that may stand there
  into 0x00 and each that may not into 0x80, so `.isascii()` of the result says whether all were
  good: one pass in C over a whole run of elements.
- A length prefix is looked up, not computed. The tables hold only the prefixes of legal
  lengths, so a `KeyError` is the check of its digits, of the minimum and of the maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final


def _verdicts(valid: set[int]) -> bytes:
    return bytes(0x00 if byte in valid else 0x80 for byte in range(256))


_DECIMAL: Final = range(10)
BCD: Final = _verdicts({tens << 4 | ones for tens in _DECIMAL for ones in _DECIMAL})
TRACK: Final = _verdicts({high << 4 | low for high in (*_DECIMAL, 0xD) for low in (*_DECIMAL, 0xD)})
PRINTABLE: Final = _verdicts(set(range(0x20, 0x7F)))

SIGN_TO_HEX: Final[Mapping[str, str]] = {"C": "43", "D": "44"}
SIGN_FROM_HEX: Final[Mapping[str, str]] = {"43": "C", "44": "D"}


@cache
def hex_prefixes(length_min: int, length_max: int, prefix_bytes: int) -> dict[str, int]:
    """Length by its BCD prefix as hex text, for bytes behind a prefix: "0025" gives 25."""
    return {
        _prefix_hex(length, prefix_bytes): length for length in range(length_min, length_max + 1)
    }


@cache
def nibble_prefixes(
    length_min: int, length_max: int, prefix_bytes: int
) -> dict[str, tuple[int, int]]:
    """Digits, and nibbles with their pad, by prefix as hex text: "15" gives (15, 16)."""
    return {
        prefix: (length, length + length % 2)
        for prefix, length in hex_prefixes(length_min, length_max, prefix_bytes).items()
    }


@cache
def text_prefixes(length_min: int, length_max: int, prefix_bytes: int) -> dict[str, int]:
    r"""Length by its BCD prefix as Latin-1 text: "\x00\x25" gives 25."""
    return {
        bytes.fromhex(prefix).decode("latin-1"): length
        for prefix, length in hex_prefixes(length_min, length_max, prefix_bytes).items()
    }


@cache
def prefixes_of_nibbles(
    length_min: int, length_max: int, prefix_bytes: int
) -> dict[int, tuple[str, str]]:
    """Prefix as hex text, and the pad nibble, by number of digits: 15 gives ("15", "0")."""
    return {
        length: (prefix, "0" if length % 2 else "")
        for prefix, length in hex_prefixes(length_min, length_max, prefix_bytes).items()
    }


@cache
def prefixes_of_bytes(length_min: int, length_max: int, prefix_bytes: int) -> dict[int, bytes]:
    r"""Prefix by number of bytes: 25 gives b"\x00\x25"."""
    return {
        length: bytes.fromhex(prefix)
        for prefix, length in hex_prefixes(length_min, length_max, prefix_bytes).items()
    }


def _prefix_hex(length: int, prefix_bytes: int) -> str:
    return f"{length:0{2 * prefix_bytes}d}"
