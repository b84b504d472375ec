"""The log behind the stream: takes in what is durable there, signs once a second.

Theory of operation
-------------------
The log is a consumer whose effect is files, so its cursor is its own size: the records from there
on are what it has not taken in. It reads in batches, at most five times a second, because a
record need not be hashed sooner than it is signed. It signs when the interval is over or enough
records have come, whichever is first, and once more when it drains.

A log with more leaves than the stream has records, or with another newest one, stands before
another stream, or one that was cut short: that is no state to go on from.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Never

import trio
from attrs import define, field

from chassis.log import get_logger
from chassis.settings.tree import Audit
from ledger.audit.log import AuditLog, AuditLogError
from ledger.audit.merkle import leaf_hash
from ledger.stream.backend import Reader

PAGE_RECORDS: Final = 4_096  # a record is touched three times: 1 MB of them, not 5
_PARTITION: Final = 0

_log = get_logger(__name__)


@define
class Following:
    """A log that follows a stream.

    Attributes:
        log: where it appends.
        leaves_total: taken in by this process.
        checkpoints_total: signed by this process.
        signed_at_us: when it last signed, or found nothing new to sign.
    """

    log: AuditLog
    _reader: Reader
    _settings: Audit
    _now_us: Callable[[], int]
    _on_signed: Callable[[], None] = lambda: None
    leaves_total: int = 0
    checkpoints_total: int = 0
    signed_at_us: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.signed_at_us = self._now_us()

    async def check(self) -> None:
        """Hold the log to the stream: to how much there is, and to the newest that was taken in.

        Raises:
            AuditLogError: it is another stream, or one that was cut short.
            StreamError: the stream cannot be read.
        """
        high_water = (await self._reader.high_water()).get(_PARTITION, 0)
        if high_water < self.log.size:
            raise AuditLogError(
                f"{self.log.size} records were signed, and the stream has {high_water}"
            )
        if not self.log.size:
            return
        newest = self.log.size - 1
        page = await self._reader.read({_PARTITION: newest}, 1, self._settings.batch_bytes_max)
        hashes = [leaf_hash(record) for _, _, record in page.records]
        if hashes != [self.log.leaf(newest)]:
            raise AuditLogError(f"record {newest} of the stream is not the one that was signed")

    async def run(self) -> Never:
        """Follow until canceled.

        Raises:
            StreamCorruptError, StreamMissingError: the stream cannot be read.
            OSError: the log's files cannot be written; open them again.
        """
        pause_s = self._settings.read_interval_ms / 1_000
        due_at = trio.current_time() + self._settings.checkpoint_interval_s
        while True:
            with trio.move_on_at(due_at):
                await self._take_in()
                await trio.sleep(pause_s)
            unsigned = self.log.size - self.log.signed_size
            if trio.current_time() >= due_at or unsigned >= self._settings.checkpoint_records:
                await self.sign()
                due_at = trio.current_time() + self._settings.checkpoint_interval_s

    async def sign(self) -> None:
        """Sign what there is.

        Raises:
            OSError: it is not durable.
        """
        now_us = self._now_us()
        now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
        note = await trio.to_thread.run_sync(self.log.checkpoint, now)
        self.signed_at_us = now_us
        if note is not None:
            self.checkpoints_total += 1
            self._on_signed()

    async def _take_in(self) -> None:
        """Take in what there is, up to a batch, by pages that stay in a processor's cache."""
        left = self._settings.batch_records_max
        while left > 0:
            wanted = min(left, PAGE_RECORDS)
            page = await self._reader.read(
                {_PARTITION: self.log.size}, wanted, self._settings.batch_bytes_max
            )
            if page.records:
                self.log.append([record for _, _, record in page.records])
                self.leaves_total += len(page.records)
            if len(page.records) < wanted:
                break
            left -= wanted
