"""A reader of a stream of segments: pages of what is durable, and a cheap wait for more.

Theory of operation
-------------------
What is durable is what the high-water file says (`high_water`); below it every byte must be as it
was written, and a frame that is not is refused with file and offset. A reader holds one segment
open (`open_segment`) and one page in memory. It hears of more from the kernel (`watch`).

Reads are plain `pread`s in the event loop: what was written lately is in memory, and a process that
reads the stream from its beginning does little else. (A map of the file would end the process, not
the read, where a file was cut short by hand.)
"""

from __future__ import annotations

from itertools import accumulate, count, repeat
from pathlib import Path
from typing import Final, Self

import trio

from chassis.settings.tree import Stream
from ledger.stream.backend import Cursor, Page
from ledger.stream.errors import StreamCorruptError
from ledger.stream.record import Mark
from ledger.stream.segments.files import list_segments, segment_path, shard_folder
from ledger.stream.segments.high_water import NAME as HIGH_WATER
from ledger.stream.segments.high_water import HighWater, HighWaterFile
from ledger.stream.segments.open_segment import OpenSegment
from ledger.stream.segments.trim import missing
from ledger.stream.segments.watch import FileWatch

PARTITION: Final = 0  # segments have one


class SegmentReader:
    """`ledger.stream.backend.Reader` over segment files; the writer may be in another process.

    Args:
        data_dir: of the stack.
        shard: which stream.
        settings: how long a read waits.
    """

    def __init__(self, data_dir: Path, *, shard: int, settings: Stream) -> None:
        self._folder = shard_folder(data_dir, shard)
        self._shard = shard
        self._wait_s = settings.read_wait_s
        self._high_water: HighWaterFile | None = None
        self._watch: FileWatch | None = None
        self._segment: OpenSegment | None = None

    async def __aenter__(self) -> Self:
        """Open what there is; a stream that nobody has written to yet is an empty one."""
        await trio.lowlevel.checkpoint()
        self._look()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of every file."""
        self._let_go()
        await trio.lowlevel.checkpoint()

    def _let_go(self) -> None:
        self._leave_segment()
        if self._watch is not None:
            self._watch.close()
        if self._high_water is not None:
            self._high_water.close()
        self._watch = self._high_water = None

    async def high_water(self) -> Cursor:
        """The cursor behind everything that is durable now."""
        await trio.lowlevel.checkpoint()
        high = self._look()
        return {PARTITION: high.next_offset if high else 0}

    async def read(self, cursor: Cursor, records_max: int, bytes_max: int) -> Page:
        """Return what follows `cursor`; empty when nothing came within the wait.

        Raises:
            StreamCorruptError, StreamMissingError: As `ledger.stream.backend` says.
        """
        await trio.lowlevel.checkpoint()
        wanted = cursor.get(PARTITION, 0)
        high = self._look()
        if high is None or high.next_offset <= wanted:
            with trio.move_on_after(self._wait_s):
                high = await self._more_than(wanted)
        if high is None or high.next_offset <= wanted:
            return Page([], {}, cursor)
        return self._page(wanted, high, records_max, bytes_max)

    async def _more_than(self, wanted: int) -> HighWater:
        """Wait until there is a record at an offset."""
        while True:
            if self._watch is not None:
                self._watch.settle()
            high = self._look()
            if high is not None and high.next_offset > wanted:
                return high
            if self._watch is None:
                await trio.sleep(self._wait_s / 10)  # nobody has begun the stream yet
            else:
                await self._watch.changed()

    def _look(self) -> HighWater | None:
        if self._high_water is not None and self._high_water.is_replaced():
            self._let_go()  # the folder was lost, and another stream has begun in its place
        if self._high_water is None:
            try:
                self._high_water = HighWaterFile.to_look(self._folder)
            except FileNotFoundError:
                return None
            self._watch = FileWatch(self._folder / HIGH_WATER)
        return self._high_water.look()

    def _page(self, wanted: int, high: HighWater, records_max: int, bytes_max: int) -> Page:
        records: list[tuple[int, int, bytes]] = []
        descriptors: dict[bytes, bytes] = {}
        mark: Mark | None = None
        size = 0
        while wanted < high.next_offset and (room := records_max - len(records)) > 0:
            segment = self._segment_with(wanted, high)
            found = segment.records_from(wanted)
            if mark and segment.mark and mark.timeline != segment.mark.timeline:
                break  # a page is of one timeline
            descriptors |= segment.descriptors
            found_bytes = sum(map(len, found))
            if len(found) > room or size + found_bytes > bytes_max:
                found = _as_many_as_fit(found, room, bytes_max - size, one=not records)
                records += zip(repeat(PARTITION), count(wanted), found)
                wanted += len(found)
                break
            records += zip(repeat(PARTITION), count(wanted), found)
            size += found_bytes
            wanted += len(found)
            mark = segment.mark if found else mark
        return Page(records, descriptors, {PARTITION: wanted}, mark)

    # -------------------------------------------------------------------------------- segments

    def _segment_with(self, wanted: int, high: HighWater) -> OpenSegment:
        """The segment that holds an offset, with its durable end as it is known now."""
        segment = self._segment
        if segment is None or not segment.may_hold(wanted):
            ended = segment.first_offset if segment is not None else None
            self._leave_segment()
            segment = self._segment = self._open_segment(wanted, ended)
        is_newest = segment.first_offset == high.segment
        segment.durable(high.end if is_newest else None)
        return segment

    def _open_segment(self, wanted: int, ended: int | None) -> OpenSegment:
        segments = list_segments(self._folder)
        at_or_before = [first for first in segments if first <= wanted]
        if not at_or_before:
            raise missing(self._folder, wanted, segments)
        following = segments[len(at_or_before)] if len(at_or_before) < len(segments) else None
        if at_or_before[-1] == ended:  # its seal, or its name, says that another follows
            raise StreamCorruptError(segment_path(self._folder, wanted), 0, "it is missing")
        path = segment_path(self._folder, at_or_before[-1])
        return OpenSegment(path, self._shard, at_or_before[-1], following)

    def _leave_segment(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None


def _as_many_as_fit(
    records: list[bytes], records_max: int, bytes_max: int, *, one: bool
) -> list[bytes]:
    """The first of some records, within bounds; with `one`, at least the first of all."""
    ends = accumulate(map(len, records[:records_max]))
    fitting = sum(1 for end in ends if end <= bytes_max)
    return records[: max(fitting, int(one))]
