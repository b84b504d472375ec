"""The writer of a stream of segments, as Trio sees it.

Every call that touches the disk runs in a thread, one at a time: the event loop goes on reading
from Postgres while the disk works. A call that has begun is waited for, also when its task is
canceled, so that what the writer knows and what the disk holds never part.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from chassis.settings.tree import Stream
from ledger.stream.backend import Batch
from ledger.stream.errors import BatchError
from ledger.stream.record import HEAD_BYTES, Mark, Position
from ledger.stream.segments.appender import Appender, Figures
from ledger.stream.segments.disk_thread import DiskThread
from ledger.stream.segments.files import FOLDER_MODE, shard_folder
from ledger.stream.segments.format import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    LENGTH_BYTES,
    SEAL_BYTES,
)
from ledger.stream.segments.high_water import HighWaterFile
from ledger.stream.segments.lock import WriterLock
from ledger.stream.segments.recovery import recover


class SegmentWriter:
    """`ledger.stream.backend.Writer` over segment files.

    Args:
        data_dir: of the stack; the folder `stream/<shard>` in it is made where it is missing.
        shard: which stream.
        settings: sizes and bounds.
        now_us: the wall clock.
    """

    def __init__(
        self, data_dir: Path, *, shard: int, settings: Stream, now_us: Callable[[], int]
    ) -> None:
        self._folder = shard_folder(data_dir, shard)
        self._shard = shard
        self._settings = settings
        self._now_us = now_us
        self._lock: WriterLock | None = None
        self._high_water: HighWaterFile | None = None
        self._appender: Appender | None = None
        self._thread: DiskThread | None = None

    @property
    def next_offset(self) -> int:
        """The offset that the next record will get."""
        return self._open_appender.next_offset

    @property
    def last(self) -> Position | None:
        """Where the last record came from; None while there is none."""
        return self._open_appender.last

    @property
    def figures(self) -> Figures:
        """What was written since it was opened."""
        return self._open_appender.figures

    async def open(self) -> Mark | None:
        """Become the writer, mend a torn end, tell how far the stream is.

        Raises:
            StreamBusyError, StreamCorruptError, StreamFullError: As `ledger.stream.backend` says.
            OSError: the folder is out of reach.
        """
        await trio.to_thread.run_sync(self._open)
        self._thread = DiskThread("stream")
        return self._open_appender.mark

    async def append(self, batch: Batch) -> int:
        """Store a batch, durable on return; the next offset.

        Raises:
            BatchError, StreamFullError, StreamFatalError: As `ledger.stream.backend` says.
        """
        appender, thread = self._open_appender, self._thread
        assert thread is not None
        self._check(batch)
        return await thread.run(partial(appender.append, batch))

    async def aclose(self) -> None:
        """Let go of the stream; what was appended stays."""
        await trio.lowlevel.checkpoint()
        self._close()

    @property
    def _open_appender(self) -> Appender:
        if self._appender is None:
            raise RuntimeError("the writer is not open")
        return self._appender

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(FOLDER_MODE)  # whatever the umask says
        self._lock = WriterLock.take(self._folder)
        try:
            self._high_water = HighWaterFile.to_publish(self._folder)
            found = recover(
                self._folder,
                shard=self._shard,
                high_water=self._high_water.look(),
                segment_bytes=self._settings.segment_bytes,
            )
            appender = Appender(
                self._folder,
                shard=self._shard,
                lock=self._lock,
                high_water=self._high_water,
                segment_bytes=self._settings.segment_bytes,
                segment_age_s=self._settings.segment_age_s,
                now_us=self._now_us,
            )
            appender.begin(found)
        except BaseException:
            self._close()
            raise
        self._appender = appender

    def _check(self, batch: Batch) -> None:
        """Refuse a batch that breaks the rules before anything is touched."""
        if not batch.records and batch.mark == self._open_appender.mark:
            raise BatchError("a batch without records must move the mark")
        if len(batch.records) > self._settings.batch_records_max:
            raise BatchError(
                f"{len(batch.records)} records; at most {self._settings.batch_records_max}"
            )
        lengths = list(map(len, batch.records))
        if batch.records and min(lengths) <= HEAD_BYTES:
            raise BatchError("a record holds no change")
        size = FRAME_HEAD_BYTES + LENGTH_BYTES * (len(lengths) + len(batch.descriptors))
        size += sum(lengths) + sum(map(len, batch.descriptors))
        room = self._settings.segment_bytes - HEADER_BYTES - SEAL_BYTES
        if size > (limit := min(self._settings.batch_bytes_max, room)):
            raise BatchError(f"{size} bytes in one batch; at most {limit}")

    def _close(self) -> None:
        """Let go of everything; the lock last."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None
        for held in (self._appender, self._high_water):
            if held is not None:
                held.close()
        if self._lock is not None:
            self._lock.release()
        self._appender = self._high_water = self._lock = None
