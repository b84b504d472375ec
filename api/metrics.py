"""What Prometheus reads of the api process."""

from __future__ import annotations

from functools import partial
from typing import Final

from api.assembly import Application
from chassis.metrics import Metrics

_CLASSES: Final = (2, 4, 5)


def register(metrics: Metrics, application: Application) -> None:
    """Show the api's numbers at `/metrics`."""
    requests = application.metrics
    for route, counts in requests.answers.items():
        for status_class in _CLASSES:
            metrics.counter(
                "requests_total",
                "answered requests",
                partial(_read_item, counts, status_class),
                route=route,
                status=f"{status_class}xx",
            )
    for route, histogram in requests.seconds.items():
        metrics.histogram("request_seconds", "from request to answer", histogram, route=route)
    server, nonces, limiting = application.server, application.nonces, application.limiting
    metrics.gauge("connections_open_total", "open connections", lambda: server.open_connections)
    metrics.watch("connections", server.counts)
    metrics.watch("refusals", limiting.refusals)
    metrics.gauge("nonces_used_ratio", "nonce table in use", lambda: nonces.used_ratio)
    for who, what, meter in limiting.limiter.meters:
        metrics.watch("limits", meter, sender=who, requests=what)
    if limiting.shared is not None:
        metrics.watch("admission", limiting.shared)
    for place, what, meter in limiting.velocity.meters:
        metrics.watch("velocity", meter, place=place, counted=what)
    for coalescer in application.coalescers:
        metrics.watch("queries", coalescer, kind=coalescer.name, shard="0")
    for shard in application.shards:
        for coalescer in shard.coalescers:
            metrics.watch("queries", coalescer, kind=coalescer.name, shard=str(shard.number))
    metrics.watch("secrets", application.key_service)
    metrics.watch("policy_reports", application.checkout.reports)


def _read_item(counts: list[int], index: int) -> float:
    return counts[index]
