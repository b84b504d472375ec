"""`turnout bench stream`: what a record costs in segment files, on its way in and on its way out.

An op is one record, of the size and kinds that a charge makes. Appending includes what an append
is: the frame, its CRC, the segment's digest, the way to a thread and back, `fdatasync`, and
publishing; so the cost a record falls as batches grow, and the batch is a parameter. Reading is
pages of records from the beginning, each frame held to its CRC; decoding makes an event of each
and its JSON. `monitor` is the search for attempts that nobody finished.

Every record is compared with what was appended before a figure is reported.
"""

from __future__ import annotations

import os
import statistics
import struct
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from benchmarks.report import Document, WrongResultsError, bench_document, progress
from chassis.clock import now_us
from chassis.settings.tree import Stream
from ledger.pgoutput import insert_message, relation_message
from ledger.pgtypes import INT4, INT8, TEXT, TIMESTAMPTZ, UUID
from ledger.stream.backend import START, Batch, Cursor
from ledger.stream.events import EventDecoder
from ledger.stream.record import VERSION, Mark, descriptor_id, pack_head
from ledger.stream.segments.reader import SegmentReader
from ledger.stream.segments.writer import SegmentWriter
from ledger.stream.unfinished import OpenAttempts

PAGE_RECORDS: Final = 1_000
PAGE_BYTES: Final = 1_048_576
_OID: Final = struct.pack(">I", 16_400)
_COLUMNS: Final = [
    *((True, "intent_id", UUID, -1), (True, "id", UUID, -1), (False, "transaction_id", UUID, -1)),
    *((False, "amount_minor", INT8, -1), (False, "created_at", TIMESTAMPTZ, -1)),
    *((False, "deadline_at", TIMESTAMPTZ, -1), (False, "epoch", INT4, -1)),
    *((False, name, TEXT, -1) for name in ("owner", "network", "acquirer_id", "mti", "stan")),
    *((False, name, TEXT, -1) for name in ("rrn", "de7", "currency", "kind")),
]
DESCRIPTOR: Final = relation_message(16_400, "attempts", b"d", _COLUMNS)


@attrs.frozen
class Round:
    """CPU microseconds a record, and records a second by the clock."""

    append_us: float
    append_per_s: float
    sync_ms: float
    read_us: float
    read_per_s: float
    decode_us: float
    monitor_us: float


def run(*, records: int = 100_000, batch: int = 400, rounds: int = 3) -> Document:
    """Measure and return the benchmark's document; figures are medians of the rounds.

    Args:
        records: a round.
        batch: records an append; the relay's at full rate is what comes within 10 ms.
        rounds: each in a stream of its own.

    Raises:
        WrongResultsError: what was read is not what was appended.
    """
    made = [attempt_record(number) for number in range(records)]
    measured = []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name:
            measured.append(trio.run(partial(_measure, Path(name), made, batch)))
        progress(
            f"bench stream: round {number} of {rounds}: append {measured[-1].append_us:.2f}, "
            f"read {measured[-1].read_us:.2f} us a record"
        )

    def median(figure: str) -> float:
        return float(statistics.median(getattr(one, figure) for one in measured))

    return bench_document(
        "stream",
        parameters={
            "records": records,
            "batch": batch,
            "rounds": rounds,
            "record_bytes": len(made[0]),
            "segment_bytes": Stream().segment_bytes,
        },
        results={
            "appended_per_s": median("append_per_s"),
            "read_per_s": median("read_per_s"),
            "sync_ms": median("sync_ms"),
            "load_cpu_us": 0.0,
        },
        cpu_us_per_op={
            "append": median("append_us"),
            "read": median("read_us"),
            "decode": median("decode_us"),
            "monitor": median("monitor_us"),
        },
    )


def attempt_record(number: int) -> bytes:
    """A record of an attempt, as a charge makes it; its descriptor is `DESCRIPTOR`."""
    intent_id = os.urandom(16)
    instant = struct.pack(">q", number)
    texts = ("switch-0", "vsim", "400001", "0200", "000001", "0ABCDEFGHIJK", "0102030405", "usd")
    cells: list[bytes | None] = [
        *(intent_id, os.urandom(16), os.urandom(16), struct.pack(">q", 2499), instant, instant),
        *(struct.pack(">i", 1), *(text.encode() for text in texts), b"request"),
    ]
    id_ = descriptor_id(DESCRIPTOR)
    head = pack_head(VERSION, ord("I"), 0, number % 4, number + 1, number, id_, intent_id)
    return head + insert_message(_OID, cells)


async def _measure(folder: Path, made: list[bytes], batch: int) -> Round:
    count = len(made)
    writer = SegmentWriter(folder, shard=0, settings=Stream(), now_us=now_us)
    await writer.open()
    began, began_cpu = time.perf_counter(), time.process_time()
    for first in range(0, count, batch):
        records = made[first : first + batch]
        await writer.append(Batch(records, [DESCRIPTOR], Mark(1, 1, first + 1)))
    append_s, append_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    figures = writer.figures
    await writer.aclose()
    began, began_cpu = time.perf_counter(), time.process_time()
    found = await _read(folder, count)
    read_s, read_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    if found != made:
        raise WrongResultsError("the stream is not what was appended")
    return Round(
        append_us=append_cpu_s / count * 1e6,
        append_per_s=count / append_s,
        sync_ms=figures.sync_s / figures.batches * 1e3,
        read_us=read_cpu_s / count * 1e6,
        read_per_s=count / read_s,
        decode_us=_decode_us(made),
        monitor_us=_monitor_us(made),
    )


async def _read(folder: Path, count: int) -> list[bytes]:
    found: list[bytes] = []
    cursor: Cursor = START
    async with SegmentReader(folder, shard=0, settings=Stream()) as reader:
        while len(found) < count:
            page = await reader.read(cursor, PAGE_RECORDS, PAGE_BYTES)
            found += [data for _, _, data in page.records]
            cursor = page.cursor
    return found


def _decode_us(made: list[bytes]) -> float:
    descriptors = {descriptor_id(DESCRIPTOR): DESCRIPTOR}
    decoder, encode = EventDecoder(), msgspec.json.Encoder().encode
    some = made[:10_000]
    began = time.process_time()
    for offset, data in enumerate(some):
        encode(decoder.decode(0, offset, data, descriptors).document())
    return (time.process_time() - began) / len(some) * 1e6


def _monitor_us(made: list[bytes]) -> float:
    descriptors = {descriptor_id(DESCRIPTOR): DESCRIPTOR}
    attempts = OpenAttempts(grace_us=0, open_max=4_096)
    page = [(0, offset, data) for offset, data in enumerate(made)]
    began = time.process_time()
    for first in range(0, len(page), PAGE_RECORDS):
        attempts.take(page[first : first + PAGE_RECORDS], descriptors)
    return (time.process_time() - began) / len(made) * 1e6
