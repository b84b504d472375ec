"""The two sides of a shard's log, which is always segments: docs/adr/0031.

What `stream.backend = "kafka"` adds is a process that reads this log (`ledger.stream.kafka`).
"""

from __future__ import annotations

from pathlib import Path

from chassis.clock import now_us
from chassis.settings.tree import Settings
from ledger.stream.backend import Reader, Writer
from ledger.stream.segments.reader import SegmentReader
from ledger.stream.segments.writer import SegmentWriter


def stream_writer(settings: Settings, data_dir: Path, *, shard: int = 0) -> Writer:
    """The writer of a shard's stream, not yet open. Only the relay makes one."""
    return SegmentWriter(data_dir, shard=shard, settings=settings.stream, now_us=now_us)


def stream_reader(settings: Settings, data_dir: Path, *, shard: int = 0) -> Reader:
    """A reader of a shard's stream, to be entered before it is read from.

    Its process needs the relay's group to read segments: see docs/operations.md.
    """
    return SegmentReader(data_dir, shard=shard, settings=settings.stream)
