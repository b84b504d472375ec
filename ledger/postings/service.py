"""The process that books and checks: `turnout serve postings`.

No payment waits for it. What it books is in one transaction with its place in the stream, so that
its sessions need not wait for the disk at each commit: after a crash of the machine the stream is
read again from where both are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import trio

from chassis.log import get_logger
from chassis.metrics import Metrics
from chassis.service import Service
from ledger.dsn import hot_settings
from ledger.pool import Pool
from ledger.postings.booking import PostingsConsumer
from ledger.postings.rules import FeeSchedule
from ledger.stream.consumer import ConsumerRunner
from ledger.stream.open import stream_reader

POOL_SIZE: Final = 2  # one books, one tells and saves what was checked

_log = get_logger(__name__)


async def serve(service: Service) -> None:
    """Book and check until the service drains.

    Raises:
        ConsumerStoppedError, StreamError, DatabaseError: bookings cannot go on.
    """
    settings = service.settings
    dsn = service.secrets["database_dsn"]
    pool = Pool(dsn, POOL_SIZE, settings=settings.ledger, role_settings=booking_settings(service))
    fees = FeeSchedule(settings.postings.fee_basis_points, settings.postings.fee_fixed_minor)
    consumer = PostingsConsumer(pool, fees)
    async with (
        stream_reader(settings, service.data_dir) as reader,
        trio.open_nursery() as background,
    ):
        await background.start(pool.serve)
        runner = ConsumerRunner(consumer, reader, pool, limits=settings.stream)
        _register(service.metrics, runner, consumer)
        service.ready()
        pause_s = settings.postings.batch_interval_ms / 1_000
        background.start_soon(partial(runner.run, pause_s=pause_s))
        _log.info("postings up")
        await service.draining.wait()
        background.cancel_scope.cancel(reason="postings have drained")


def booking_settings(service: Service) -> Mapping[str, str]:
    """Run-time parameters of the sessions that book."""
    return {**hot_settings(service.settings.ledger), "synchronous_commit": "off"}


def _register(metrics: Metrics, runner: ConsumerRunner, consumer: PostingsConsumer) -> None:
    figures = runner.figures
    metrics.counter("events_total", "Records of the stream gone past", lambda: figures.events)
    metrics.counter("planned_total", "Postings planned", lambda: consumer.planned_total)
    metrics.counter("batches_total", "Transactions of bookings", lambda: figures.transactions)
    metrics.counter("parked_total", "Events put aside for people", lambda: figures.parked)
    metrics.counter(
        "next_offset_total", "How far the stream is booked", lambda: figures.cursor.get(0, 0)
    )
