"""Streams for tests: changes as Postgres would send them, batches, a back end to keep them."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any, Protocol

import msgspec
import trio

from chassis.settings.tree import Stream
from ledger.stream.backend import Batch, Reader, Writer
from ledger.stream.record import NO_INTENT, VERSION, Mark, descriptor_id, pack_head
from ledger.stream.segments.reader import SegmentReader
from ledger.stream.segments.writer import SegmentWriter

SYSTEM = 7_000_000_000_000_000_001
READABLE_S = 20.0
INT8, TEXT, UUID = 20, 25, 2950
# Small, so that segments fill and bounds are met within a test.
SMALL = Stream(segment_bytes=65_536, batch_bytes_max=16_384, batch_records_max=256, read_wait_s=0.2)


def descriptor(table: str = "outcomes", *columns: tuple[str, int], oid: int = 16_400) -> bytes:
    """A relation message: `columns` are names and type oids; the first one is the key."""
    columns = columns or (("intent_id", UUID), ("n", INT8))
    parts = [b"R", struct.pack(">I", oid), b"public\0", table.encode() + b"\0", b"d"]
    parts.append(struct.pack(">H", len(columns)))
    for index, (name, type_oid) in enumerate(columns):
        key = struct.pack(">B", int(index == 0))
        parts += [key, name.encode() + b"\0", struct.pack(">Ii", type_oid, -1)]
    return b"".join(parts)


def tuple_data(*values: bytes | None) -> bytes:
    """A row's columns in binary."""
    cells = [
        b"n" if value is None else b"b" + struct.pack(">I", len(value)) + value for value in values
    ]
    return struct.pack(">H", len(values)) + b"".join(cells)


DESCRIPTOR = descriptor()


def record(number: int, *, commit_lsn: int | None = None, **changes: Any) -> bytes:
    """An insert of (intent id, number) under `DESCRIPTOR`, or what `changes` makes of it."""
    intent_id = number.to_bytes(16)
    fields: dict[str, Any] = {
        "kind": b"I",
        "flags": 0,
        "ordinal": 0,
        "committed_at_us": 1_700_000_000_000_000 + number,
        "descriptor": descriptor_id(DESCRIPTOR),
        "intent_id": intent_id,
        "row": (intent_id, number.to_bytes(8)),
        "oid": 16_400,
    }
    fields |= changes
    head = pack_head(
        VERSION,
        fields["kind"][0],
        fields["flags"],
        fields["ordinal"],
        commit_lsn or (number + 1) * 64,
        fields["committed_at_us"],
        fields["descriptor"],
        fields["intent_id"] or NO_INTENT,
    )
    change = fields["kind"] + struct.pack(">I", fields["oid"]) + b"N"
    return head + change + tuple_data(*fields["row"])


def batch(first: int, count: int = 1, *, known: bool = True) -> Batch:
    """`count` records from number `first` on; unless `known`, with their descriptor."""
    records = [record(number) for number in range(first, first + count)]
    end = (first + count) * 64 + 32
    return Batch(records, [] if known else [DESCRIPTOR], Mark(SYSTEM, 1, end))


class Backend(Protocol):
    """What the tests of every back end need of one."""

    hears_within_s: float  # of an append, a reader that waits

    @property
    def address(self) -> list[str]:
        """What another process needs to open the same stream: see `tests.support.consuming`."""

    def writer(self, **changes: Any) -> Writer:
        """A writer, not yet open; `changes` are to its settings."""

    def reader(self, **changes: Any) -> Reader:
        """A reader, to be entered; likewise."""


async def until_readable(backend: Backend, end: int) -> None:
    """Wait until readers have what was appended below an offset: Kafka shows it a little later."""
    with trio.fail_after(READABLE_S):
        async with backend.reader() as reader:
            while not (await reader.read({0: end - 1}, 1, 1)).records:
                pass


class SegmentsBackend:
    """The segments back end in a folder, for tests that hold for every back end."""

    hears_within_s = 0.02

    def __init__(self, data_dir: Path, settings: Stream = SMALL) -> None:
        self.data_dir = data_dir
        self.settings = settings

    @property
    def address(self) -> list[str]:
        """What another process needs to open the same stream."""
        return ["segments", str(self.data_dir)]

    def writer(self, **changes: Any) -> SegmentWriter:
        """A writer, not yet open."""
        settings = msgspec.structs.replace(self.settings, **changes)
        return SegmentWriter(
            self.data_dir, shard=0, settings=settings, now_us=lambda: time.time_ns() // 1_000
        )

    def reader(self, **changes: Any) -> SegmentReader:
        """A reader, to be entered."""
        settings = msgspec.structs.replace(self.settings, **changes)
        return SegmentReader(self.data_dir, shard=0, settings=settings)
