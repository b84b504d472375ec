"""The bytes of segments: documented offsets, round trips, and damage of every byte."""

from __future__ import annotations

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.stream.record import Mark, Position
from ledger.stream.segments.format import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    SEAL,
    FormatError,
    Header,
    decode_frame,
    decode_frame_head,
    decode_header,
    encode_frame,
    encode_header,
)
from tests.support.stream import DESCRIPTOR, record

HEADER = Header(3, 184_311, 1_700_000_000_000_000, bytes(range(32)))
RECORDS = [record(5), record(6)]
FRAME = encode_frame(
    first_offset=5,
    records=RECORDS,
    descriptors=[DESCRIPTOR],
    last=Position(7 * 64, 0),
    epoch=9,
    mark=Mark(0x1111, 2, 0x3333),
)


def test_the_header_stands_as_documented() -> None:
    """Each field has its place, and the CRC covers them."""
    data = encode_header(HEADER)
    assert len(data) == HEADER_BYTES == 64
    assert data[:8] == b"TURNSEG1"
    assert data[8:12] == b"\x00\x01\x00\x03"
    assert int.from_bytes(data[12:20]) == 184_311
    assert int.from_bytes(data[20:28]) == 1_700_000_000_000_000
    assert data[28:60] == bytes(range(32))
    assert int.from_bytes(data[60:]) == google_crc32c.value(data[:60])
    assert decode_header(data) == HEADER


def test_the_frame_stands_as_documented() -> None:
    """Each field has its place; lengths and parts follow."""
    numbers = [
        int.from_bytes(FRAME[at : at + size])
        for at, size in (
            *((4, 4), (8, 4), (12, 1), (13, 1), (14, 1), (16, 8), (24, 4), (28, 4)),
            *((32, 8), (40, 8), (48, 4), (52, 4), (56, 8), (64, 4), (68, 8)),
        )
    ]
    covered = FRAME[12:]
    assert FRAME[:4] == b"TBF1"
    assert numbers == [
        *(len(covered), google_crc32c.value(covered), 1, 0, 0, 5, 2, 1),
        *(6 * 64, 7 * 64, 0, 9, 0x1111, 2, 0x3333),
    ]
    lengths = [int.from_bytes(FRAME[at : at + 4]) for at in (76, 80, 84)]
    assert lengths == [len(DESCRIPTOR), len(RECORDS[0]), len(RECORDS[1])]
    assert FRAME[88:] == DESCRIPTOR + RECORDS[0] + RECORDS[1]


def test_a_frame_comes_back_as_it_went() -> None:
    """Head, descriptors and records survive the trip, wherever the frame lies."""
    frame, descriptors, records = decode_frame(b"before" + FRAME + b"behind", 6)
    assert (descriptors, records) == ([DESCRIPTOR], RECORDS)
    assert (frame.size, frame.next_offset, frame.epoch) == (len(FRAME), 7, 9)
    assert (frame.mark, frame.last) == (Mark(0x1111, 2, 0x3333), Position(7 * 64, 0))


def test_damage_of_any_byte_of_a_frame_is_found() -> None:
    """There is no byte of a frame whose change goes unseen."""
    for at in range(len(FRAME)):
        damaged = bytearray(FRAME + bytes(64))
        damaged[at] ^= 0x10
        with pytest.raises(FormatError):
            decode_frame(bytes(damaged))


def test_damage_of_any_byte_of_a_header_is_found() -> None:
    """There is no byte of a header whose change goes unseen."""
    data = encode_header(HEADER)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(FormatError):
            decode_header(bytes(damaged))


def test_every_cut_of_a_frame_is_found() -> None:
    """A frame that ends early is cut short, wherever it ends."""
    for length in range(len(FRAME)):
        with pytest.raises(FormatError):
            decode_frame(FRAME[:length])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    """No input ends in another exception, also behind a good magic."""
    for candidate in (data, b"TBF1" + data, FRAME[:FRAME_HEAD_BYTES] + data):
        with pytest.raises(FormatError):
            decode_frame(candidate)


def test_a_seal_with_records_is_refused() -> None:
    """A seal is its head alone."""
    sealed = encode_frame(
        first_offset=5,
        records=RECORDS,
        descriptors=[],
        last=None,
        epoch=1,
        mark=Mark(1, 1, 1),
        kind=SEAL,
    )
    with pytest.raises(FormatError, match="seal"):
        decode_frame_head(sealed)


def test_later_versions_are_refused() -> None:
    """A frame or segment of a version we do not know is not guessed at."""
    later = encode_header(HEADER)[:8] + b"\x00\x02" + encode_header(HEADER)[10:60]
    with pytest.raises(FormatError, match="version 2"):
        decode_header(later + google_crc32c.value(later).to_bytes(4))
    covered = b"\x02" + FRAME[13:]
    crc = google_crc32c.value(covered).to_bytes(4)
    with pytest.raises(FormatError, match="version 2"):
        decode_frame(FRAME[:8] + crc + covered)
