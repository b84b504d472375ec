"""The newest segment, written to: one append, one fdatasync, in blocking calls.

Theory of operation
-------------------
An append is: write the frame, fdatasync, publish. What comes before the fdatasync can be repeated:
the frame's place is not moved on, and the next attempt writes over it. The fdatasync cannot: Linux
reports a failed write-back once and then calls the lost pages clean, so a second fdatasync would
succeed over a hole. Therefore its failure is final for this process, whatever the caller tries.

The next segment's space stands by as `spare`. That takes the allocation off the append that fills
a segment, and it is the ballast of a full disk: when nothing can be allocated any more there is
still a segment to write what Postgres has committed already, while intake is shed. Once that is
full, too, appends are refused without harm, and succeed again when there is room.

The segment's digest is computed along the way, so that a full one needs not be read again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from chassis.crash_points import AFTER_STREAM_SYNC, BEFORE_STREAM_SYNC, reach
from chassis.log import get_logger
from ledger.stream.backend import Batch
from ledger.stream.errors import BatchError, StreamFatalError, StreamFullError
from ledger.stream.record import DESCRIPTOR_ID, Mark, Position, descriptor_id, position_of
from ledger.stream.segments.files import (
    begin_segment,
    make_spare,
    no_room,
    put_away,
    segment_path,
    write_at,
)
from ledger.stream.segments.format import (
    HEADER_BYTES,
    NO_PREDECESSOR,
    SEAL,
    SEAL_BYTES,
    Header,
    encode_frame,
    encode_header,
)
from ledger.stream.segments.high_water import HighWater, HighWaterFile
from ledger.stream.segments.lock import WriterLock
from ledger.stream.segments.recovery import Found

SPARE_RETRY_S: Final = 1.0  # between tries to make a spare on a full disk

_log = get_logger(__name__)


@attrs.define
class Figures:
    """Counted since the writer was opened.

    Attributes:
        batches: appended, marks alone among them.
        records: in them.
        written_bytes: of their frames.
        sync_s: spent in fdatasync.
        sealed: segments filled.
        has_spare: whether the next segment's space is there already; False for long is a full disk.
    """

    batches: int = 0
    records: int = 0
    written_bytes: int = 0
    sync_s: float = 0.0
    sealed: int = 0
    has_spare: bool = False


@attrs.define
class _Segment:
    """The newest segment as far as it is written."""

    descriptor: int
    header: Header
    end: int
    digest: hashlib._Hash  # `hashlib.sha256()`; typeshed has no public name for it
    known: set[bytes] = attrs.field(factory=set)  # descriptors that stand in it


class Appender:
    """Owns the newest segment; every method blocks.

    Args:
        folder: the stream's.
        shard: its number.
        lock: taken.
        high_water: opened to publish.
        segment_bytes: allocated for each segment.
        segment_age_s: a segment this old is sealed although it is not full.
        now_us: the wall clock.

    Attributes:
        next_offset: of the next record.
        mark: how far the stream is; None before its first batch.
        last: where its newest record came from.
        figures: what was done so far.
    """

    def __init__(
        self,
        folder: Path,
        *,
        shard: int,
        lock: WriterLock,
        high_water: HighWaterFile,
        segment_bytes: int,
        segment_age_s: float,
        now_us: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._shard = shard
        self._lock = lock
        self._high_water = high_water
        self._segment_bytes = segment_bytes
        self._segment_age_s = segment_age_s
        self._now_us = now_us
        self._segment: _Segment
        self._descriptors: dict[bytes, bytes] = {}  # all that this writer has seen, by id
        self._broken: StreamFatalError | None = None
        self._next_spare_at = 0.0
        self._spare_is_missed = False
        self.next_offset = 0
        self.mark: Mark | None = None
        self.last: Position | None = None
        self.figures = Figures()

    def begin(self, found: Found) -> None:
        """Go on where a stream ends; or begin it.

        Raises:
            StreamFullError: there is no room for a segment.
        """
        self.mark, self.last = found.mark, found.last
        tail = found.tail
        if tail is None:
            self._begin_segment(NO_PREDECESSOR)
        elif found.digest is not None:
            self.next_offset = tail.next_offset
            self._begin_segment(found.digest)
        else:
            self.next_offset = tail.next_offset
            path = segment_path(self._folder, tail.header.first_offset)
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            digest = hashlib.sha256(os.pread(descriptor, tail.end, 0))
            known = set(tail.descriptors)
            self._descriptors |= tail.descriptors
            self._segment = _Segment(descriptor, tail.header, tail.end, digest, known)
        self._publish()
        self._keep_spare()

    def append(self, batch: Batch) -> int:
        """Store a batch, durable on return; the next offset.

        Raises:
            BatchError, StreamFullError, StreamFatalError: As `ledger.stream.backend` says.
        """
        if self._broken is not None:
            raise self._broken
        self._lock.check()
        for descriptor in batch.descriptors:
            self._descriptors[descriptor_id(descriptor)] = descriptor
        needed = {record[DESCRIPTOR_ID] for record in batch.records}
        if strangers := needed - self._descriptors.keys():
            raise BatchError(f"nobody has given the descriptor {min(strangers).hex()}")
        last = position_of(batch.records[-1]) if batch.records else self.last
        frame = self._frame(batch, needed, last)
        if self._must_roll(len(frame)):
            self._roll()
            frame = self._frame(batch, needed, last)
        self._write(frame)
        self._segment.known |= needed
        self.next_offset += len(batch.records)
        self.mark, self.last = batch.mark, last
        self._publish()
        self._segment.digest.update(frame)
        self.figures.batches += 1
        self.figures.records += len(batch.records)
        self.figures.written_bytes += len(frame)
        if not self.figures.has_spare:
            self._keep_spare()
        return self.next_offset

    def close(self) -> None:
        """Let go of the newest segment."""
        os.close(self._segment.descriptor)

    # ------------------------------------------------------------------------------ one frame

    def _frame(self, batch: Batch, needed: set[bytes], last: Position | None) -> bytes:
        return encode_frame(
            first_offset=self.next_offset,
            records=batch.records,
            descriptors=[self._descriptors[one] for one in sorted(needed - self._segment.known)],
            last=last,
            epoch=self._lock.epoch,
            mark=batch.mark,
        )

    def _write(self, data: bytes) -> None:
        """Write at the end and make it durable."""
        segment = self._segment
        try:
            write_at(segment.descriptor, data, segment.end)
        except OSError as error:
            if no_room(error):
                raise StreamFullError("no room on the disk for a batch") from None
            raise self._fatal("a write failed", error) from None
        reach(BEFORE_STREAM_SYNC)
        began = time.perf_counter()
        try:
            os.fdatasync(segment.descriptor)
        except OSError as error:
            raise self._fatal("fdatasync failed", error) from None
        self.figures.sync_s += time.perf_counter() - began
        reach(AFTER_STREAM_SYNC)
        segment.end += len(data)

    def _fatal(self, what: str, error: OSError) -> StreamFatalError:
        self._broken = StreamFatalError(f"{what} on the stream's newest segment: {error.strerror}")
        return self._broken

    def _publish(self) -> None:
        segment = self._segment
        self._high_water.publish(
            HighWater(self._lock.epoch, self.next_offset, segment.header.first_offset, segment.end)
        )

    # -------------------------------------------------------------------------------- segments

    def _must_roll(self, frame_bytes: int) -> bool:
        segment = self._segment
        if segment.end + frame_bytes + SEAL_BYTES > self._segment_bytes:
            return True
        age_us = self._now_us() - segment.header.created_at_us
        return (
            age_us > self._segment_age_s * 1_000_000
            and self.next_offset > segment.header.first_offset
        )

    def _roll(self) -> None:
        """Seal the newest segment and begin another."""
        if self.mark is None or self.next_offset == self._segment.header.first_offset:
            raise BatchError("the batch is too large for a segment")
        if not self.figures.has_spare:
            self._make_spare()
        seal = encode_frame(
            first_offset=self.next_offset,
            records=(),
            descriptors=(),
            last=self.last,
            epoch=self._lock.epoch,
            mark=self.mark,
            kind=SEAL,
        )
        self._write(seal)
        segment = self._segment
        segment.digest.update(seal)
        try:
            put_away(segment.descriptor, segment.end)
            os.close(segment.descriptor)
            self._begin_segment(segment.digest.digest())
        except OSError as error:
            raise self._fatal("sealing failed", error) from None
        self.figures.sealed += 1
        self._publish()

    def _begin_segment(self, predecessor: bytes) -> None:
        if not self.figures.has_spare:
            self._make_spare()
        header = Header(self._shard, self.next_offset, self._now_us(), predecessor)
        descriptor = begin_segment(self._folder, header)
        self.figures.has_spare = False
        digest = hashlib.sha256(encode_header(header))
        self._segment = _Segment(descriptor, header, HEADER_BYTES, digest)

    def _make_spare(self) -> None:
        make_spare(self._folder, self._segment_bytes)
        self.figures.has_spare = True
        if self._spare_is_missed:
            self._spare_is_missed = False
            _log.warning("the stream has a spare segment again")

    def _keep_spare(self) -> None:
        """Make the next segment's space if it is missing; a full disk is told of once."""
        if time.monotonic() < self._next_spare_at:
            return
        try:
            self._make_spare()
        except StreamFullError:
            self._next_spare_at = time.monotonic() + SPARE_RETRY_S
            if not self._spare_is_missed:
                self._spare_is_missed = True
                left = self._segment_bytes - self._segment.end
                _log.error("disk full: the stream has no spare segment", bytes_left=left)
