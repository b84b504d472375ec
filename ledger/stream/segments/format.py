"""The bytes of a segment: a header, frames, and in the end a seal.

Theory of operation
-------------------
A segment is named by the offset of its first record, twenty digits and `.seg`. Its space is
allocated when it is made, so it ends in zeros until it is sealed; then it is cut to its length,
and its SHA-256 stands in the header of the segment after it. A chain of digests results that
`sha256sum` can check.

Header, 64 bytes, big-endian like everything:

    0   8   magic "TURNSEG1"
    8   2   version = 1
    10  2   shard
    12  8   offset of the first record
    20  8   when it was made, microseconds since 1970-01-01 UTC
    28  32  SHA-256 of the segment before it; zeros if it is the first
    60  4   CRC32C of the 60 bytes before

Frame: a batch, or the seal:

    0   4   magic "TBF1"
    4   4   length of what follows the CRC
    8   4   CRC32C of what follows
    12  1   version = 1
    13  1   kind: 0 batch, 1 seal
    14  1   codec: 0, records as they are
    15  1   reserved, 0
    16  8   offset of the first record; of a seal, the offset at which the next segment begins
    24  4   number of records
    28  4   number of descriptors
    32  8   commit LSN of the first record; 0 where there is none
    40  8   commit LSN of the last record of the stream so far; 0 if it has had none
    48  4   its ordinal
    52  4   the writer's epoch
    56  8   mark: system identifier
    64  4   mark: timeline
    68  8   mark: end LSN
    76  4   the length of each descriptor, then of each record
    …       the descriptors, then the records, one after the other

A descriptor stands in each segment before, or in the same frame as, the first record that needs it:
a segment can be read without those before it.

Why it is told where a frame was torn: a length that was damaged moves the end of what the CRC
covers, and magic, continuity of offsets and zeros after the end catch the rest.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812  struct names its exception in lower case
from typing import Final

import google_crc32c
import msgspec

from ledger.stream.record import Mark, Position

SEGMENT_MAGIC: Final = b"TURNSEG1"
SEGMENT_VERSION: Final = 1
_HEADER: Final = Layout(">8sHHQq32s")
_CRC: Final = Layout(">I")
HEADER_BYTES: Final = _HEADER.size + _CRC.size  # 64
NO_PREDECESSOR: Final = bytes(32)

FRAME_MAGIC: Final = b"TBF1"
FRAME_VERSION: Final = 1
BATCH: Final = 0
SEAL: Final = 1
AS_THEY_ARE: Final = 0
_PREFIX: Final = Layout(">4sII")
_FIXED: Final = Layout(">BBBxQIIQQIIQIQ")
_HEAD: Final = Layout(">4sIIBBBxQIIQQIIQIQ")
PREFIX_BYTES: Final = _PREFIX.size  # 12
FRAME_HEAD_BYTES: Final = _HEAD.size  # 76
SEAL_BYTES: Final = FRAME_HEAD_BYTES
LENGTH_BYTES: Final = 4

assert HEADER_BYTES == 64  # noqa: PLR2004, RUF100
assert FRAME_HEAD_BYTES == PREFIX_BYTES + _FIXED.size == 76  # noqa: PLR2004, RUF100


class FormatError(Exception):
    """Bytes that are not what the format wants here; says why, never what they are."""


class Header(msgspec.Struct, frozen=True):
    """What a segment says of itself before its first frame."""

    shard: int
    first_offset: int
    created_at_us: int
    predecessor: bytes


class Frame(msgspec.Struct, frozen=True, gc=False):
    """The head of a frame.

    Attributes:
        size: bytes of the whole frame.
        last: where the newest record up to the frame's end came from; None if there is none yet.
    """

    size: int
    kind: int
    first_offset: int
    record_count: int
    descriptor_count: int
    last: Position | None
    epoch: int
    mark: Mark

    @property
    def next_offset(self) -> int:
        """The offset behind its records."""
        return self.first_offset + self.record_count


def encode_header(header: Header) -> bytes:
    """The first 64 bytes of a segment."""
    data = _HEADER.pack(
        SEGMENT_MAGIC,
        SEGMENT_VERSION,
        header.shard,
        header.first_offset,
        header.created_at_us,
        header.predecessor,
    )
    return data + _CRC.pack(google_crc32c.value(data))


def decode_header(data: bytes) -> Header:
    """Read a header.

    Raises:
        FormatError: these are not the first bytes of a segment of this version.
    """
    if len(data) < HEADER_BYTES:
        raise FormatError("the header is cut short")
    magic, version, shard, first_offset, created_at_us, predecessor = _HEADER.unpack_from(data)
    if magic != SEGMENT_MAGIC:
        raise FormatError("this is no segment")
    if _CRC.unpack_from(data, _HEADER.size)[0] != google_crc32c.value(data[: _HEADER.size]):
        raise FormatError("the header does not match its CRC")
    if version != SEGMENT_VERSION:
        raise FormatError(f"segment version {version}; this code reads {SEGMENT_VERSION}")
    return Header(shard, first_offset, created_at_us, predecessor)


def encode_frame(
    *,
    first_offset: int,
    records: Sequence[bytes],
    descriptors: Sequence[bytes],
    last: Position | None,
    epoch: int,
    mark: Mark,
    kind: int = BATCH,
) -> bytes:
    """One frame, ready to be written.

    Args:
        first_offset: of its first record, or of the next one if it has none.
        records: at least 48 bytes each; their heads are not checked here.
        descriptors: what stands before them.
        last: where the newest record up to and including these came from.
        epoch: the writer's.
        mark: what the stream has taken in.
        kind: a seal has neither records nor descriptors.
    """
    lengths = array("I", map(len, descriptors))
    lengths.extend(map(len, records))
    if sys.byteorder == "little":
        lengths.byteswap()
    covered = b"".join(
        (
            _FIXED.pack(
                FRAME_VERSION,
                kind,
                AS_THEY_ARE,
                first_offset,
                len(records),
                len(descriptors),
                int.from_bytes(records[0][8:16]) if records else 0,
                last.commit_lsn if last else 0,
                last.ordinal if last else 0,
                epoch,
                mark.system_identifier,
                mark.timeline,
                mark.end_lsn,
            ),
            lengths.tobytes(),
            *descriptors,
            *records,
        )
    )
    return _PREFIX.pack(FRAME_MAGIC, len(covered), google_crc32c.value(covered)) + covered


def decode_frame_head(data: bytes, at: int = 0) -> Frame:
    """Read a frame's head without holding the frame to its CRC.

    Raises:
        FormatError: no frame of this version begins here.
    """
    try:
        magic, length, _, version, kind, codec, *numbers = _HEAD.unpack_from(data, at)
    except LayoutError:
        raise FormatError("a frame is cut short") from None
    if magic != FRAME_MAGIC:
        raise FormatError("no frame begins here")
    if version != FRAME_VERSION or codec != AS_THEY_ARE:
        raise FormatError(f"a frame of version {version}, codec {codec}; this code reads 1 and 0")
    first_offset, record_count, descriptor_count, _, last_lsn, last_ordinal, *rest = numbers
    epoch, system_identifier, timeline, end_lsn = rest
    size = PREFIX_BYTES + length
    if kind not in (BATCH, SEAL) or size < FRAME_HEAD_BYTES + LENGTH_BYTES * (
        record_count + descriptor_count
    ):
        raise FormatError("a frame's head contradicts itself")
    if kind == SEAL and size != SEAL_BYTES:
        raise FormatError("a seal holds records")
    last = Position(last_lsn, last_ordinal) if last_lsn else None
    mark = Mark(system_identifier, timeline, end_lsn)
    return Frame(size, kind, first_offset, record_count, descriptor_count, last, epoch, mark)


def decode_frame(data: bytes, at: int = 0) -> tuple[Frame, list[bytes], list[bytes]]:
    """Read a whole frame: its head, descriptors and records.

    Raises:
        FormatError: it is damaged or cut short.
    """
    frame = decode_frame_head(data, at)
    end = at + frame.size
    if end > len(data):
        raise FormatError("a frame is cut short")
    if google_crc32c.value(data[at + PREFIX_BYTES : end]) != int.from_bytes(data[at + 8 : at + 12]):
        raise FormatError("a frame does not match its CRC")
    count = frame.descriptor_count + frame.record_count
    lengths_at = at + FRAME_HEAD_BYTES
    lengths = array("I", data[lengths_at : lengths_at + LENGTH_BYTES * count])
    if sys.byteorder == "little":
        lengths.byteswap()
    parts_at = lengths_at + LENGTH_BYTES * count
    if parts_at + sum(lengths) != end:
        raise FormatError("a frame's lengths do not add up")
    ends = accumulate(lengths, initial=parts_at)
    parts = [data[start:stop] for start, stop in pairwise(ends)]
    return frame, parts[: frame.descriptor_count], parts[frame.descriptor_count :]


def is_whole_frame(data: bytes, at: int) -> bool:
    """Whether an undamaged frame begins here."""
    try:
        decode_frame(data, at)
    except FormatError:
        return False
    return True
