"""A ledger, a stream of what it commits, and what books from it, without the processes between.

Run as a program, with a DSN and a folder, it books from the stream there until it is killed.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from chassis.settings.tree import Relay
from ledger.connection import Connection
from ledger.dsn import hot_settings
from ledger.pool import Pool
from ledger.postings.booking import PostingsConsumer
from ledger.postings.rules import FeeSchedule
from ledger.stream.backend import Batch
from ledger.stream.consumer import ConsumerRunner
from ledger.stream.cursors import begin_cursor
from ledger.stream.record import Mark, position_of
from tests.support.capturing import begin_capture, captured, end_capture
from tests.support.ledger import LIMITS as LEDGER_LIMITS
from tests.support.ledger import LedgerHarness
from tests.support.stream import SMALL, SegmentsBackend

LIMITS = msgspec.structs.replace(
    SMALL,
    segment_bytes=4_194_304,
    batch_bytes_max=1_048_576,
    batch_records_max=4_096,
    read_wait_s=0.02,
    parked_check_s=0.0,
)
ROLE = "turnout_postings"
SLOT = Relay().slot


class Booked:
    """What a ledger has booked: `stream` what was committed, then `book` it.

    Attributes:
        ledger: the ledger.
        backend: of the stream.
        session: of role turnout_postings.
        cluster: system identifier and timeline of the marks of what is streamed; of no server.
        ahead_bytes: by which commits of what is streamed lie behind where they are in the WAL.
    """

    def __init__(self, ledger: LedgerHarness, folder: Path, session: Connection) -> None:
        self.ledger = ledger
        self.backend = SegmentsBackend(folder, LIMITS)
        self.session = session
        self.cluster = (1, 1)
        self.ahead_bytes = 0

    async def stream(self) -> None:
        """Append what was committed since the last time."""
        found = await captured(self.ledger)
        if not found:
            return
        descriptors = list({id_: one for _, known in found for id_, one in known.items()}.values())
        records = [self._moved(data) for data, _ in found]
        writer = self.backend.writer()
        await writer.open()
        mark = Mark(*self.cluster, position_of(records[-1]).commit_lsn + 1)
        await writer.append(Batch(records, descriptors, mark))
        await writer.aclose()

    def _moved(self, data: bytes) -> bytes:
        commit_lsn = position_of(data).commit_lsn + self.ahead_bytes
        return data[:8] + commit_lsn.to_bytes(8) + data[16:]

    async def book(self, *, fees: FeeSchedule | None = None, page_max: int = 1_000) -> int:
        """Stream and take in all there is, as a process started anew; how many were parked."""
        await self.stream()
        limits = msgspec.structs.replace(LIMITS, consumer_records_max=page_max)
        consumer = PostingsConsumer(self.session, fees or FeeSchedule(), SLOT)
        async with self.backend.reader() as reader:
            runner = ConsumerRunner(consumer, reader, self.session, limits=limits)
            runner.figures.cursor = await begin_cursor(self.session, consumer.group, 0, {0: 0})
            while await runner.step():
                pass
        return runner.figures.parked

    async def postings(self) -> list[tuple[str, int]]:
        """Kind and amount of every posting of this ledger's merchant, in the order booked."""
        return [
            (kind, amount)
            for kind, amount in await self.ledger.rows(
                "SELECT p.kind, p.amount_minor FROM postings AS p"
                " JOIN payment_intents AS i ON i.id = p.intent_id"
                " WHERE i.merchant_id = $1::uuid"
                " ORDER BY p.occurred_at, p.intent_id, p.source_event, p.leg",
                self.ledger.merchant_id,
            )
        ]


@asynccontextmanager
async def booking(ledger: LedgerHarness, folder: Path) -> AsyncIterator[Booked]:
    """Nothing streamed and nothing booked yet; the session has the booking role's rights."""
    for table in ("exceptions", "stream_cursors", "stream_parked", "postings", "accounts"):
        await ledger.rows(f"DELETE FROM {table}")
    await begin_capture(ledger)
    session = await Connection.open(
        ledger.dsn(ROLE), role_settings=hot_settings(LEDGER_LIMITS), connect_timeout_s=10
    )
    try:
        yield Booked(ledger, folder, session)
    finally:
        await session.aclose()
        await end_capture(ledger)


async def book_until_killed(dsn: str, folder: Path, page_max: int) -> None:
    """Book in small pages, as the process does, sessions that do not wait for the disk included."""
    limits = msgspec.structs.replace(LIMITS, consumer_records_max=page_max)
    role_settings = {**hot_settings(LEDGER_LIMITS), "synchronous_commit": "off"}
    pool = Pool(dsn, 1, settings=LEDGER_LIMITS, role_settings=role_settings)
    async with trio.open_nursery() as nursery, SegmentsBackend(folder, limits).reader() as reader:
        await nursery.start(pool.serve)
        consumer = PostingsConsumer(pool, FeeSchedule(100, 0), SLOT)
        await ConsumerRunner(consumer, reader, pool, limits=limits).run()


if __name__ == "__main__":
    trio.run(book_until_killed, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
