"""Tables: the alphabets and prefixes that plans look things up in."""

from __future__ import annotations

from switch.dialects.schema import PrefixKind, Text
from switch.iso8583 import tables
from switch.iso8583.charsets import CHARSETS
from switch.iso8583.prefixes import Prefix


def _valid(table: bytes) -> set[int]:
    assert len(table) == 256
    assert set(table) <= {0x00, 0x80}
    return {byte for byte in range(256) if bytes([byte]).translate(table).isascii()}


def test_bcd_knows_the_hundred_pairs_of_digits() -> None:
    """Exactly the bytes whose hex is decimal are BCD."""
    assert _valid(tables.BCD) == {byte for byte in range(256) if f"{byte:02x}".isdecimal()}


def test_track_adds_the_separator() -> None:
    """Digits and D in either nibble, no other letter."""
    expected = {byte for byte in range(256) if set(f"{byte:02X}") <= set("0123456789D")}
    assert _valid(tables.TRACK) == expected


def test_printable_is_ascii_without_controls() -> None:
    """Space to tilde."""
    assert _valid(tables.PRINTABLE) == {ord(c) for c in map(chr, range(128)) if c.isprintable()}


def _prefix(kind: PrefixKind, size: int, charset: Text = "ascii", unit: int = 1) -> Prefix:
    return Prefix(kind, size, CHARSETS[charset], unit)


def test_prefix_tables_hold_legal_lengths_only() -> None:
    """Every table has one entry for each length within its bounds."""
    one, two = _prefix("bcd", 1), _prefix("bcd", 2)
    assert tables.hex_prefixes(one, 12, 14) == {"12": 12, "13": 13, "14": 14}
    assert tables.nibble_prefixes(one, 12, 13) == {"12": (12, 12), "13": (13, 14)}
    assert tables.text_prefixes(two, 25, 25) == {"\x00\x25": 25}
    assert tables.prefixes_of_nibbles(one, 12, 13) == {12: ("12", ""), 13: ("13", "0")}
    assert tables.prefixes_of_bytes(two, 99, 100) == {99: b"\x00\x99", 100: b"\x01\x00"}


def test_prefixes_of_other_kinds() -> None:
    """Binary lengths, lengths in digits of either charset, and lengths that count pairs."""
    assert tables.byte_prefixes(_prefix("binary", 1), 254, 255) == {b"\xfe": 254, b"\xff": 255}
    assert tables.hex_prefixes(_prefix("text", 2, "cp037"), 16, 16) == {"f1f6": 16}
    assert tables.text_prefixes(_prefix("text", 3, "cp037"), 25, 25) == {"025": 25}
    assert tables.text_prefixes(_prefix("text", 2), 9, 9) == {"09": 9}
    pairs = _prefix("binary", 1, unit=2)
    assert tables.prefixes_and_pads(pairs, 1, 5) == {2: (b"\x01", ""), 4: (b"\x02", "")}
    assert tables.prefixes_and_pads(_prefix("binary", 1), 15, 15) == {15: (b"\x0f", "0")}


def test_signs_are_bytes_of_the_charset() -> None:
    """C and D stand where ASCII and EBCDIC have them."""
    assert tables.sign_bytes(CHARSETS["ascii"]) == {"C": b"C", "D": b"D"}
    assert tables.sign_bytes(CHARSETS["cp1047"]) == {"C": b"\xc3", "D": b"\xc4"}
    assert tables.sign_from_hex(CHARSETS["cp037"]) == {"c3": "C", "c4": "D"}


def test_tables_are_shared() -> None:
    """Elements of the same bounds share one table, whatever the number of plans."""
    first, second = _prefix("bcd", 2), _prefix("bcd", 2)
    assert tables.text_prefixes(first, 1, 999) is tables.text_prefixes(second, 1, 999)
