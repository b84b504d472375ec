"""The end of a segment after a death: what is cut, and what is corruption."""

from __future__ import annotations

import pytest

from ledger.stream.record import Mark, descriptor_id
from ledger.stream.segments.format import (
    HEADER_BYTES,
    SEAL,
    Header,
    encode_frame,
    encode_header,
)
from ledger.stream.segments.scan import DamageError, Tail, scan_tail
from tests.support.stream import DESCRIPTOR, record

HEADER = encode_header(Header(0, 0, 0, bytes(32)))


def _frame(first_offset: int, *, epoch: int = 1, kind: int = 0) -> bytes:
    records = [] if kind == SEAL else [record(first_offset), record(first_offset + 1)]
    descriptors = [DESCRIPTOR] if first_offset == 0 and records else []
    mark = Mark(1, 1, first_offset)
    return encode_frame(
        first_offset=first_offset,
        records=records,
        descriptors=descriptors,
        last=None,
        epoch=epoch,
        mark=mark,
        kind=kind,
    )


FIRST, SECOND, THIRD = _frame(0), _frame(2), _frame(4)
WHOLE = HEADER + FIRST + SECOND + THIRD
ZEROS = bytes(5_000)


def _scan(data: bytes, *, acknowledged: int = 0) -> Tail:
    return scan_tail(data, shard=0, first_offset=0, acknowledged=acknowledged)


def test_a_clean_end_is_zeros() -> None:
    """Allocated space behind the last frame is nothing to mend."""
    tail = _scan(WHOLE + ZEROS, acknowledged=len(WHOLE))
    assert (tail.end, tail.next_offset, tail.torn, tail.sealed) == (len(WHOLE), 6, False, False)
    assert tail.last_frame is not None
    assert tail.last_frame.mark == Mark(1, 1, 4)
    assert tail.descriptors == {descriptor_id(DESCRIPTOR): DESCRIPTOR}


def test_an_empty_segment_has_no_frame() -> None:
    """A segment that was just begun ends behind its header."""
    tail = _scan(HEADER + ZEROS)
    assert (tail.end, tail.next_offset, tail.last_frame, tail.torn) == (64, 0, None, False)


def test_every_torn_last_frame_is_cut_where_it_begins() -> None:
    """However much of an unacknowledged frame reached the disk, its beginning is the end."""
    before = HEADER + FIRST + SECOND
    for length in range(1, len(THIRD)):
        tail = _scan(before + THIRD[:length] + ZEROS, acknowledged=len(before))
        assert (tail.end, tail.next_offset) == (len(before), 4)
        assert tail.torn


def test_a_frame_whose_first_page_is_missing_is_torn() -> None:
    """Pages reach the disk in any order: zeros and then data is a torn frame, too."""
    before = HEADER + FIRST + SECOND
    tail = _scan(before + bytes(40) + THIRD[40:] + ZEROS, acknowledged=len(before))
    assert (tail.end, tail.torn) == (len(before), True)


@pytest.mark.parametrize("at", [HEADER_BYTES, len(HEADER + FIRST) + 20, len(HEADER + FIRST) + 100])
def test_damage_below_what_was_acknowledged_is_corruption(at: int) -> None:
    """A flip below the high water is never cut off."""
    damaged = bytearray(WHOLE + ZEROS)
    damaged[at] ^= 1
    with pytest.raises(DamageError, match="acknowledged") as caught:
        _scan(bytes(damaged), acknowledged=len(WHOLE))
    assert caught.value.at in (len(HEADER), len(HEADER + FIRST))


def test_damage_before_an_undamaged_frame_is_corruption() -> None:
    """Also when nobody knows what was acknowledged: the frame behind it proves it was durable."""
    damaged = bytearray(WHOLE + ZEROS)
    damaged[len(HEADER + FIRST) + 90] ^= 1
    with pytest.raises(DamageError, match="undamaged frame follows") as caught:
        _scan(bytes(damaged))
    assert caught.value.at == len(HEADER + FIRST)


def test_zeros_where_a_frame_was_acknowledged_are_corruption() -> None:
    """A segment that ends before its high water lost something."""
    with pytest.raises(DamageError, match="were acknowledged"):
        _scan(HEADER + FIRST + ZEROS, acknowledged=len(HEADER + FIRST + SECOND))


def test_a_cut_file_is_corruption() -> None:
    """So is one that was made shorter than what was acknowledged."""
    with pytest.raises(DamageError, match="acknowledged"):
        _scan(WHOLE[:-10], acknowledged=len(WHOLE))


def test_a_seal_ends_the_segment() -> None:
    """Zeros may follow a seal, as its file may not have been cut yet; nothing else may."""
    sealed = WHOLE + _frame(6, kind=SEAL)
    tail = _scan(sealed + ZEROS)
    assert (tail.sealed, tail.end, tail.next_offset) == (True, len(sealed), 6)
    with pytest.raises(DamageError, match="behind the seal"):
        _scan(sealed + b"\x01" + ZEROS)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (FIRST + THIRD + _frame(6), "offset 4 where 2"),
        (FIRST + FIRST + SECOND, "offset 0 where 2"),
        (_frame(0, epoch=5) + SECOND + THIRD, "epoch 1 after epoch 5"),
    ],
)
def test_frames_that_do_not_follow_are_corruption(frames: bytes, reason: str) -> None:
    """A frame removed, repeated or from an earlier writer is told by what follows it."""
    with pytest.raises(DamageError, match=reason):
        _scan(HEADER + frames + ZEROS)


def test_a_segment_in_another_place_is_refused() -> None:
    """A file is what its name and folder say, or nothing."""
    with pytest.raises(DamageError, match="shard 0 among those of shard 1"):
        scan_tail(WHOLE, shard=1, first_offset=0, acknowledged=0)
    with pytest.raises(DamageError, match="not as it is named"):
        scan_tail(WHOLE, shard=0, first_offset=100, acknowledged=0)
