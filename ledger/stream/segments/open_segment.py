"""One segment, open for reading: where its frames are, as far as anybody has looked.

A cursor that follows on from the last frame goes on from there. Any other place is looked for by
hopping over the heads of the frames before it, which reads 76 bytes a frame and remembers a place
every 64 KiB. Descriptors found on the way are kept, because a record needs one that stands
somewhere before it in its segment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ledger.stream.errors import StreamCorruptError
from ledger.stream.record import Mark, descriptor_id
from ledger.stream.segments.files import read_at
from ledger.stream.segments.format import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    SEAL,
    FormatError,
    Frame,
    decode_frame,
    decode_frame_head,
)
from ledger.stream.segments.scan import DamageError, scan_header

READ_BYTES: Final = 262_144  # one pread takes so much, or a whole frame where that is larger
_INDEX_STEP_BYTES: Final = 65_536


class OpenSegment:
    """A segment's file, and what is known of it.

    Args:
        path: the file.
        shard: whose segment it must be.
        first_offset: by which it is named.
        following: where the next segment begins; None while this is the newest.

    Attributes:
        first_offset: of the segment.
        descriptors: those that stand in the frames looked at, by id.
        mark: of the frame whose records were given last.
    """

    def __init__(self, path: Path, shard: int, first_offset: int, following: int | None) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.first_offset = first_offset
        self._following = following
        self.descriptors: dict[bytes, bytes] = {}
        self.mark: Mark | None = None
        self._end = 0
        self._index = [(first_offset, HEADER_BYTES)]  # (offset, place of the frame it begins)
        self._looked = (first_offset, HEADER_BYTES)  # the first frame nobody has looked at
        self._next = (first_offset, HEADER_BYTES)  # the frame behind the last one given
        self._held: tuple[int, list[bytes]] = (first_offset, [])  # records of the last one given
        self._buffer = b""
        self._buffer_at = 0
        try:
            scan_header(
                read_at(self._descriptor, HEADER_BYTES, 0), shard=shard, first_offset=first_offset
            )
        except DamageError as damage:
            self.close()
            raise StreamCorruptError(path, damage.at, damage.reason) from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def may_hold(self, offset: int) -> bool:
        """Whether an offset is in this segment; of the newest one, or will be."""
        return self.first_offset <= offset and (self._following is None or offset < self._following)

    def durable(self, end: int | None) -> None:
        """Learn how many bytes count; None: the segment is sealed, all of them."""
        self._end = os.fstat(self._descriptor).st_size if end is None else end

    def records_from(self, wanted: int) -> list[bytes]:
        """Records of one frame, the first of them at `wanted`; none where the segment ends.

        Raises:
            StreamCorruptError: what should stand there does not.
        """
        held_from, held = self._held
        if held_from <= wanted < held_from + len(held):
            return held[wanted - held_from :]
        if wanted != self._next[0]:
            self._next = self._frame_with(wanted)
        while True:
            offset, at = self._next
            frame, descriptors, records = self._read_frame(offset, at)
            if frame.kind == SEAL:
                self._following = offset
                return []
            self._next = (frame.next_offset, at + frame.size)
            self._note(self._next, descriptors)
            if frame.next_offset > wanted:
                self._held = (offset, records)
                self.mark = frame.mark
                return records[wanted - offset :]

    def _frame_with(self, wanted: int) -> tuple[int, int]:
        """Where the frame with an offset begins, found by hopping from the nearest known place."""
        offset, at = max(place for place in self._index if place[0] <= wanted)
        if self._looked[0] <= wanted:
            offset, at = self._looked
        while True:
            frame = self._frame_head(offset, at)
            if frame.kind == SEAL or frame.next_offset > wanted:
                return offset, at
            descriptors: Sequence[bytes] = ()
            if frame.descriptor_count:
                _, descriptors, _ = self._read_frame(offset, at)
            offset, at = frame.next_offset, at + frame.size
            self._note((offset, at), descriptors)

    def _note(self, following: tuple[int, int], descriptors: Sequence[bytes]) -> None:
        """Remember what stands in a frame that was looked at, and where the next one begins."""
        if following <= self._looked:
            return
        self._looked = following
        for descriptor in descriptors:
            self.descriptors[descriptor_id(descriptor)] = descriptor
        if following[1] - self._index[-1][1] >= _INDEX_STEP_BYTES:
            self._index.append(following)

    def _frame_head(self, offset: int, at: int) -> Frame:
        try:
            frame = decode_frame_head(self._bytes(at, FRAME_HEAD_BYTES))
        except FormatError as error:
            raise StreamCorruptError(self._path, at, str(error)) from None
        return self._check(frame, offset, at)

    def _read_frame(self, offset: int, at: int) -> tuple[Frame, list[bytes], list[bytes]]:
        """The frame at a place, held to its CRC and to what came before it."""
        head = self._frame_head(offset, at)
        buffered = at - self._buffer_at
        if not 0 <= buffered <= len(self._buffer) - head.size:
            size = max(head.size, min(READ_BYTES, self._end - at))
            self._buffer, self._buffer_at, buffered = self._bytes(at, size), at, 0
        try:
            frame, descriptors, records = decode_frame(self._buffer, buffered)
        except FormatError as error:
            raise StreamCorruptError(self._path, at, str(error)) from None
        return frame, descriptors, records

    def _check(self, frame: Frame, offset: int, at: int) -> Frame:
        if frame.first_offset != offset:
            reason = f"offset {frame.first_offset} where {offset} should follow"
            raise StreamCorruptError(self._path, at, reason)
        if at + frame.size > self._end:
            raise StreamCorruptError(self._path, at, "a frame is longer than what is durable")
        return frame

    def _bytes(self, at: int, size: int) -> bytes:
        if at + size > self._end:
            raise StreamCorruptError(self._path, at, "ends here, although more was acknowledged")
        buffered = at - self._buffer_at
        if 0 <= buffered <= len(self._buffer) - size:
            return self._buffer[buffered : buffered + size]
        return read_at(self._descriptor, size, at)
