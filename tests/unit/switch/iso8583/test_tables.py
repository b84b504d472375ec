"""Tables: the alphabets and prefixes that plans look things up in."""

from __future__ import annotations

from switch.iso8583 import tables


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


def test_prefix_tables_hold_legal_lengths_only() -> None:
    """Every table has one entry for each length within its bounds."""
    assert tables.hex_prefixes(12, 14, 1) == {"12": 12, "13": 13, "14": 14}
    assert tables.nibble_prefixes(12, 13, 1) == {"12": (12, 12), "13": (13, 14)}
    assert tables.text_prefixes(25, 25, 2) == {"\x00\x25": 25}
    assert tables.prefixes_of_nibbles(12, 13, 1) == {12: ("12", ""), 13: ("13", "0")}
    assert tables.prefixes_of_bytes(99, 100, 2) == {99: b"\x00\x99", 100: b"\x01\x00"}


def test_tables_are_shared() -> None:
    """Elements of the same bounds share one table, whatever the number of plans."""
    assert tables.text_prefixes(1, 999, 2) is tables.text_prefixes(1, 999, 2)
