"""The process that copies the stream into Kafka: `turnout serve forwarder`.

It reads segments and knows no database. It is ready as soon as it runs, brokers or no brokers; how
far Kafka is tell `/readyz` (check `forwarding`), the metrics and the log.
"""

from __future__ import annotations

from functools import partial

import trio

from chassis.metrics import Metrics
from chassis.service import Service
from ledger.stream.kafka.forwarder import Forwarder, Health
from ledger.stream.kafka.writer import KafkaWriter
from ledger.stream.open import stream_reader


async def serve(service: Service) -> None:
    """Forward until the service drains.

    Raises:
        StreamError: as `ledger.stream.kafka.forwarder.Forwarder.run` says.
    """
    settings = service.settings
    async with stream_reader(settings, service.data_dir) as reader:
        writer = partial(KafkaWriter, settings.kafka, settings.stream, shard=service.shard)
        forwarder = Forwarder(reader, writer, settings.kafka)
        _register(service.metrics, forwarder.health)
        service.checks["forwarding"] = lambda: forwarder.health.connected
        service.ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forwarder.run)
            await service.draining.wait()
            nursery.cancel_scope.cancel(reason="the forwarder has drained")


def _register(metrics: Metrics, health: Health) -> None:
    metrics.counter("records_total", "Records brought into Kafka", lambda: health.records)
    metrics.counter("transactions_total", "Transactions it took", lambda: health.transactions)
    metrics.counter("aborted_total", "Transactions taken back and repeated", lambda: health.aborted)
    metrics.counter("sessions_total", "Writers opened", lambda: health.sessions)
    metrics.counter(
        "next_offset_total", "How far of the stream Kafka has it", lambda: health.next_offset
    )
    metrics.gauge("connected_ratio", "1: the brokers answer", lambda: health.connected)
    metrics.gauge(
        "behind_ratio", "Records of the stream that Kafka has not, to one", lambda: health.behind
    )
