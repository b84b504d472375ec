"""One stream's segments, frame by frame, with the place of each record on disk.

The readers of `ledger.stream` give pages of records. To compare two streams takes what stands
around them: the mark of each frame, which says how far the stream is in the WAL, and the byte of
each record, to name it. Nothing beyond the high water is read, so nothing that could still change.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from ledger.stream.errors import StreamCorruptError, StreamMissingError
from ledger.stream.record import Mark
from ledger.stream.segments.files import list_segments, read_at, segment_path
from ledger.stream.segments.format import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    SEAL,
    FormatError,
    decode_frame,
    decode_frame_head,
)
from ledger.stream.segments.high_water import NAME as HIGH_WATER
from ledger.stream.segments.high_water import HighWater, HighWaterFile
from ledger.stream.segments.scan import DamageError, scan_header

READ_BYTES: Final = 262_144  # of one pread, or a whole frame where that is larger
_LENGTH_BYTES: Final = 4


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a frame begins: the first offset of its segment, and the byte."""

    segment: int
    at: int = HEADER_BYTES


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A batch as one frame holds it.

    Attributes:
        first_offset: of its first record in the stream.
        records: as they stand there.
        descriptors: relation messages that came with them.
        mark: how far the stream was in the WAL with this batch.
        path: its segment.
        at: the byte of its first record.
        place: where its frame begins, for `Tape`.
    """

    first_offset: int
    records: list[bytes]
    descriptors: list[bytes]
    mark: Mark
    path: Path
    at: int
    place: Place

    def where(self, index: int) -> str:
        """File and byte of one of the records."""
        return f"{self.path}:{self.at + sum(map(len, self.records[:index]))}"


class Tape:
    """Reads a stream forward; whoever writes it may be at work.

    Args:
        folder: of the stream's segments.
        shard: whose segments they must be.
        place: of the first frame to read; None is the oldest there is.
        offset: of that frame's first record.

    Attributes:
        next_offset: of the next record that it will read; tells how far it is.
    """

    def __init__(
        self, folder: Path, shard: int, place: Place | None = None, offset: int | None = None
    ) -> None:
        self.folder = folder
        self.next_offset = offset or 0
        self._shard = shard
        self._place = place
        self._following = (
            offset is not None
        )  # whether `next_offset` is known: where the next frame must begin
        self._high_water: HighWaterFile | None = None
        self._inode: int | None = None  # of that file
        self._segment: tuple[int, int] | None = None  # first offset, file descriptor
        self._buffer = b""
        self._buffer_at = 0

    def close(self) -> None:
        """Let go of every file."""
        self._leave_segment()
        if self._high_water is not None:
            self._high_water.close()
            self._high_water = None

    @property
    def place(self) -> Place | None:
        """Where the next frame begins; None before the first was looked for."""
        return self._place

    def is_behind(self) -> bool:
        """Whether there are records that it has not read."""
        return self.end() > self.next_offset

    def was_replaced(self) -> bool:
        """Whether another stream, or none, lies where the one was that this reads."""
        return self._high_water is not None and self._inode != _inode(self.folder / HIGH_WATER)

    def describe(self, place: Place) -> str:
        """File and byte of a place."""
        return f"{segment_path(self.folder, place.segment)}:{place.at}"

    def created_at_us(self, segment: int) -> int | None:
        """When a segment was made, which tells it from another of that name; None without it."""
        try:
            header = _first_bytes(segment_path(self.folder, segment))
            return scan_header(header, shard=self._shard, first_offset=segment).created_at_us
        except (OSError, DamageError):
            return None

    def end(self) -> int:
        """The offset behind everything that is durable now."""
        high = self._look()
        return high.next_offset if high else 0

    def read(self) -> Piece | None:
        """The next batch; None where there is none yet.

        Raises:
            StreamCorruptError: what stands there is not what was written.
            StreamMissingError: it is there no longer.
            OSError: a file cannot be read.
        """
        high = self._look()
        if high is None:
            return None
        while True:
            place = self._place or self._oldest()
            if place.segment > high.segment or (
                place.segment == high.segment and place.at >= high.end
            ):
                return None
            descriptor = self._open(place)
            end = high.end if place.segment == high.segment else os.fstat(descriptor).st_size
            piece = self._read_frame(descriptor, place, end)
            if piece is not None:
                self.next_offset = piece.first_offset + len(piece.records)
                self._following = True
                return piece

    # -------------------------------------------------------------------------------- segments

    def _look(self) -> HighWater | None:
        if self._high_water is None:
            try:
                self._inode = _inode(self.folder / HIGH_WATER)
                self._high_water = HighWaterFile.to_look(self.folder)
            except FileNotFoundError:
                return None
        return self._high_water.look()

    def _oldest(self) -> Place:
        segments = list_segments(self.folder)
        if not segments:
            raise StreamMissingError("the stream has a high water and no segment")
        self._place = Place(segments[0])
        return self._place

    def _open(self, place: Place) -> int:
        if self._segment is not None and self._segment[0] == place.segment:
            return self._segment[1]
        self._leave_segment()
        path = segment_path(self.folder, place.segment)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StreamMissingError(f"segment {place.segment} is not there") from None
        self._segment = (place.segment, descriptor)
        self._buffer, self._buffer_at = b"", 0
        try:
            header = read_at(descriptor, HEADER_BYTES, 0)
            scan_header(header, shard=self._shard, first_offset=place.segment)
        except (DamageError, OSError) as error:
            self._leave_segment()  # so that the next read meets it again
            if isinstance(error, DamageError):
                raise StreamCorruptError(path, error.at, error.reason) from None
            raise
        return descriptor

    def _leave_segment(self) -> None:
        if self._segment is not None:
            os.close(self._segment[1])
            self._segment = None

    # ---------------------------------------------------------------------------------- frames

    def _read_frame(self, descriptor: int, place: Place, end: int) -> Piece | None:
        """The batch at a place; None for a seal, behind which the next segment comes."""
        path = segment_path(self.folder, place.segment)
        if place.at >= end:
            raise StreamCorruptError(path, place.at, "it ends here without a seal")
        try:
            size = decode_frame_head(self._bytes(descriptor, place.at, FRAME_HEAD_BYTES, end)).size
            size = min(size, end - place.at)  # a length that is damaged may be any
            frame, descriptors, records = decode_frame(self._bytes(descriptor, place.at, size, end))
        except FormatError as error:
            raise StreamCorruptError(path, place.at, str(error)) from None
        if self._following and frame.first_offset != self.next_offset:
            reason = f"record {frame.first_offset} where {self.next_offset} should follow"
            raise StreamCorruptError(path, place.at, reason)
        if frame.kind == SEAL:
            self._place = Place(frame.first_offset)
            return None
        self._place = Place(place.segment, place.at + frame.size)
        lengths = _LENGTH_BYTES * (frame.record_count + frame.descriptor_count)
        at = place.at + FRAME_HEAD_BYTES + lengths + sum(map(len, descriptors))
        return Piece(frame.first_offset, records, descriptors, frame.mark, path, at, place)

    def _bytes(self, descriptor: int, at: int, size: int, end: int) -> bytes:
        begin = at - self._buffer_at
        if not 0 <= begin <= len(self._buffer) - size:
            wanted = max(size, min(READ_BYTES, end - at))
            self._buffer, self._buffer_at, begin = read_at(descriptor, wanted, at), at, 0
        return self._buffer[begin : begin + size]


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)
