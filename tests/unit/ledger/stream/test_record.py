"""Records: their head, byte by byte, and what is refused."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.stream.errors import RecordError
from ledger.stream.record import (
    HEAD_BYTES,
    REPAIR,
    VERSION,
    Position,
    descriptor_id,
    pack_head,
    parse_record,
    position_of,
)

INTENT = bytes(range(16))
DESCRIPTOR = b"\xd1" * 8
CHANGE = b"I\x00\x00\x40\x01N\x00\x00"
WHOLE = pack_head(VERSION, ord("I"), 0, 7, 0x1_0000_0002, 1_700_000_000_000_001, DESCRIPTOR, INTENT)


def test_every_field_stands_where_the_layout_says() -> None:
    """The head is the documented bytes, big-endian."""
    expected = (
        b"\x01I\x00\x00"
        + (7).to_bytes(4)
        + (0x1_0000_0002).to_bytes(8)
        + (1_700_000_000_000_001).to_bytes(8)
        + DESCRIPTOR
        + INTENT
    )
    assert expected == WHOLE
    assert len(WHOLE) == HEAD_BYTES == 48


def test_a_record_is_taken_apart() -> None:
    """Readers see the fields by name, and the change untouched."""
    record = parse_record(WHOLE + CHANGE)
    assert record.kind == b"I"
    assert record.position == Position(0x1_0000_0002, 7) == position_of(WHOLE + CHANGE)
    assert record.committed_at_us == 1_700_000_000_000_001
    assert (record.descriptor, record.intent_id, record.change) == (DESCRIPTOR, INTENT, CHANGE)
    assert not record.is_repair


def test_a_repair_says_so() -> None:
    """Bit 0 of the flags marks what was read from the tables."""
    head = pack_head(VERSION, ord("I"), REPAIR, 0, 1, 1, DESCRIPTOR, INTENT)
    assert parse_record(head + CHANGE).is_repair


@pytest.mark.parametrize(
    ("place", "data"),
    [
        ("length", WHOLE),
        ("length", b""),
        ("version", b"\x02" + WHOLE[1:] + CHANGE),
        ("kind", b"\x01X" + WHOLE[2:] + CHANGE),
        ("flags", b"\x01I\x02" + WHOLE[3:] + CHANGE),
        ("flags", b"\x01I\x00\x01" + WHOLE[4:] + CHANGE),
        ("change", WHOLE + b"U" + CHANGE[1:]),
    ],
)
def test_what_is_no_record_is_refused(place: str, data: bytes) -> None:
    """The error names the field that is wrong."""
    with pytest.raises(RecordError) as caught:
        parse_record(data)
    assert caught.value.place == place


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    """No input ends in another exception."""
    try:
        record = parse_record(data)
    except RecordError:
        return
    assert record.change == data[HEAD_BYTES:]


def test_a_descriptor_is_named_by_its_content() -> None:
    """Eight bytes of SHA-256 over the whole message."""
    assert descriptor_id(b"R\x00") == sha256(b"R\x00").digest()[:8]
