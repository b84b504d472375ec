"""What is counted of requests, in plain numbers."""

from __future__ import annotations

from time import monotonic
from typing import Final

from api.http.exchange import Exchange
from api.routes import ROUTES
from chassis.metrics import Histogram

NO_ROUTE: Final = "none"  # what was no request, or matched no route
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
