"""What is counted of requests, in plain numbers, and how Prometheus reads it."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from api.http.exchange import Exchange
from api.routes import ROUTES
from chassis.metrics import Histogram, Metrics

if TYPE_CHECKING:
    from api.assembly import Application

NO_ROUTE: Final = "none"  # what was no request, or matched no route
_CLASSES: Final = (2, 4, 5)
_TIMED: Final = ("getPaymentIntent", "createPaymentIntent", "createTransaction")


class RequestMetrics:
    """Counts answers by route and class of status, and times the three routes that matter.

    Attributes:
        answers: per route, how many of each hundred of status.
        seconds: per timed route, from the request's last byte to its answer.
    """

    __slots__ = ("answers", "seconds")

    def __init__(self) -> None:
        self.answers = {name: [0] * 6 for name in (NO_ROUTE, *(route.name for route in ROUTES))}
        self.seconds = {name: Histogram() for name in _TIMED}

    def finished(self, exchange: Exchange, status: int) -> None:
        """Count one answer."""
        route = exchange.route
        self.answers[route or NO_ROUTE][status // 100] += 1
        seconds = self.seconds.get(route)
        if seconds is not None:
            seconds.observe(monotonic() - exchange.arrived_at)


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
    server, nonces = application.server, application.nonces
    metrics.gauge("connections_open_total", "open connections", lambda: server.open_connections)
    metrics.watch("connections", server.counts)
    metrics.watch("refusals", application.gate.refusals)
    metrics.gauge("nonces_used_ratio", "nonce table in use", lambda: nonces.used_ratio)
    for coalescer in application.coalescers:
        metrics.watch("queries", coalescer, kind=coalescer.name)
    metrics.watch("secrets", application.key_service)


def _read_item(counts: list[int], index: int) -> float:
    return counts[index]
