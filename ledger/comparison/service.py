"""The process that compares the streams of two relays: `turnout serve comparer`.

It reads both by their relays' groups, has no key and no password, and writes nothing but how far it
is. Neither relay knows it: who writes a stream does not judge it.
"""

from __future__ import annotations

import time

import trio

from chassis.metrics import Metrics
from chassis.service import Service
from ledger.comparison.watch import SHARD, Watch
from ledger.relay.second import second_folder
from ledger.stream.segments.files import shard_folder


async def serve(service: Service) -> None:
    """Compare until the service drains.

    Raises:
        OSError: its position cannot be kept.
    """
    limits = service.settings.relay
    watch = Watch(
        data_dir=service.data_dir,
        first=shard_folder(service.data_dir, SHARD),
        second=shard_folder(second_folder(limits, service.data_dir), SHARD),
        limits=limits,
        now_s=time.monotonic,
    )
    _register(service.metrics, watch)
    service.checks["alike"] = lambda: not (watch.differences_total or watch.is_damaged)
    service.checks["compared"] = lambda: not watch.alarmed
    service.ready()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await service.draining.wait()
        nursery.cancel_scope.cancel()
    watch.keep()


def _register(metrics: Metrics, watch: Watch) -> None:
    metrics.counter(
        "records_total",
        "Records of both streams found alike",
        lambda: watch.comparison.leaves if watch.comparison else 0,
    )
    metrics.gauge(
        "differences_total",
        "Differences between the two streams, ever since they are these",
        lambda: watch.differences_total,
    )
    metrics.gauge(
        "damaged_ratio", "1 while one of them cannot be read on", lambda: float(watch.is_damaged)
    )
    metrics.counter(
        "gaps_total",
        "Times that a range ended because a stream was repaired or came to another timeline, the"
        " beginning included",
        lambda: watch.comparison.gaps_total if watch.comparison else 0,
    )
    metrics.gauge(
        "waiting_seconds",
        "How long records of one stream have waited for the other's",
        lambda: watch.waiting_s,
    )
    metrics.gauge(
        "waiting_alarm_ratio", "1 while that is over its limit", lambda: float(watch.alarmed)
    )
