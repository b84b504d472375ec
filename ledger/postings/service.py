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

from chassis.clock import now_us
from chassis.log import get_logger
from chassis.service import Service
from ledger.dsn import hot_settings
from ledger.pool import Pool
from ledger.postings.booking import GROUP as BOOKING
from ledger.postings.booking import PostingsConsumer, begin_again_where_replaced
from ledger.postings.checker import GROUP as CHECKING
from ledger.postings.checker import Checker
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
    consumer = PostingsConsumer(pool, fees, settings.relay.slot)
    snapshots = Pool(dsn, 1, settings=settings.ledger, role_settings=snapshot_settings(service))
    async with (
        stream_reader(settings, service.data_dir) as reader,
        stream_reader(settings, service.data_dir) as second_reader,
        trio.open_nursery() as background,
    ):
        await background.start(pool.serve)
        await background.start(snapshots.serve)
        for group in (BOOKING, CHECKING):
            await begin_again_where_replaced(reader, pool, group)
        runner = ConsumerRunner(consumer, reader, pool, limits=settings.stream)
        checker = Checker(
            second_reader,
            snapshots,
            pool,
            limits=settings.postings,
            stream=settings.stream,
            now_us=now_us,
            booked=lambda: runner.figures.cursor.get(0, 0),
        )
        _register(service, runner, consumer, checker)
        service.ready()
        pause_s = settings.postings.batch_interval_ms / 1_000
        background.start_soon(partial(runner.run, pause_s=pause_s))
        if settings.postings.check_intents_per_s:
            background.start_soon(checker.run)
        _log.info("postings up")
        await service.draining.wait()
        background.cancel_scope.cancel(reason="postings have drained")


def booking_settings(service: Service) -> Mapping[str, str]:
    """Run-time parameters of the sessions that book."""
    return {**hot_settings(service.settings.ledger), "synchronous_commit": "off"}


def snapshot_settings(service: Service) -> Mapping[str, str]:
    """Run-time parameters of the session that checks: each transaction sees one snapshot."""
    isolation = {"default_transaction_isolation": "repeatable read"}
    return {**hot_settings(service.settings.ledger), **isolation}


def _register(
    service: Service, runner: ConsumerRunner, consumer: PostingsConsumer, checker: Checker
) -> None:
    metrics, figures = service.metrics, runner.figures
    metrics.counter("events_total", "Records of the stream gone past", lambda: figures.events)
    metrics.counter("planned_total", "Postings planned", lambda: consumer.planned_total)
    metrics.counter("batches_total", "Transactions of bookings", lambda: figures.transactions)
    metrics.counter("parked_total", "Events put aside for people", lambda: figures.parked)
    metrics.counter(
        "lost_total", "Events gone past, lost when the ledger was set back", lambda: figures.lost
    )
    metrics.counter(
        "next_offset_total", "How far the stream is booked", lambda: figures.cursor.get(0, 0)
    )
    checks, waiting_max = checker.figures, service.settings.postings.check_waiting_max
    metrics.counter("checked_total", "Payments held to their history", lambda: checks.checked)
    metrics.counter("violations_total", "Broken rules told", lambda: checks.violations)
    metrics.gauge(
        "unbooked_ratio",
        "Payments that wait to be booked, of as many as are looked at again",
        lambda: checks.waiting / waiting_max,
    )
    metrics.counter(
        "checked_offset_total", "How far the stream is checked", lambda: checks.next_offset
    )
