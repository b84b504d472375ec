"""Segments are taken apart and put together again, byte for byte."""

from __future__ import annotations

import pytest

from ledger.archive.errors import ArchiveError
from ledger.archive.sealed import put_together, take_apart
from ledger.stream.segments.format import HEADER_BYTES, NO_PREDECESSOR, SEAL_BYTES
from tests.support.archiving import payment, segment

RECORDS = [payment(number) for number in range(100, 200)]
DATA = segment(100, RECORDS, NO_PREDECESSOR)


def test_what_was_taken_apart_is_put_together_again() -> None:
    """Header, frames, marks alone, descriptors, records and seal lead to the same bytes."""
    sealed = take_apart(DATA, shard=0, first_offset=100)
    assert sealed.records == RECORDS
    assert (sealed.end_offset, sealed.size) == (200, len(DATA))
    assert put_together(sealed.header, sealed.frames, sealed.records) == DATA


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (DATA[:-SEAL_BYTES], "is not sealed"),
        (DATA[:HEADER_BYTES], "is not sealed"),
        (DATA + bytes(1), "something stands behind the seal"),
        (DATA[:-SEAL_BYTES] + b"\1" + DATA[-SEAL_BYTES:], "no frame begins here"),
        (DATA[:-1] + b"\1", "does not match its CRC"),
    ],
)
def test_what_is_no_sealed_segment_is_refused(data: bytes, reason: str) -> None:
    """A segment without its seal, with more behind it, or damaged is not archived."""
    with pytest.raises(ArchiveError, match=reason):
        take_apart(data, shard=0, first_offset=100)


@pytest.mark.parametrize(("shard", "first_offset"), [(1, 100), (0, 101)])
def test_a_segment_of_another_place_is_refused(shard: int, first_offset: int) -> None:
    """A segment's header must name the shard and the offset that it was found under."""
    with pytest.raises(ArchiveError, match=f"segment {first_offset}"):
        take_apart(DATA, shard=shard, first_offset=first_offset)


def test_records_that_do_not_fit_the_frames_are_refused() -> None:
    """A record more than the frames hold is no part of the segment."""
    sealed = take_apart(DATA, shard=0, first_offset=100)
    with pytest.raises(ArchiveError, match="100 records, and there are 101"):
        put_together(sealed.header, sealed.frames, [*sealed.records, RECORDS[0]])
