"""How many tries an endpoint may have at once: more while it answers, fewer when it fails. Pure.

Every endpoint has a lane of its own, so one that is slow or dead fills its own lane and nobody
else's. What a lane has no room for stays in the ledger, unread. Its width grows by one for each
width of answers and is halved by a failure; after so many failures in a row the lane is closed, and
one try a pause asks whether the endpoint is back.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from attrs import define, field

from chassis.settings.webhooks import Webhooks
from ledger.webhooks.deliveries import Claimed

FIRST_WIDTH: Final = 4
PAUSES_MAX: Final = 12  # of the first pause: a minute with the defaults


@define
class Lane:
    """What one endpoint has in memory.

    Attributes:
        queue: claimed and not begun; (when it was claimed, monotonic; the delivery).
        in_flight: tries begun.
        width: how many tries it may have.
        failures: in a row.
        paused_until: monotonic; before that nothing is tried.
        used: something came into it since somebody looked whether it is still needed.
    """

    limits: Webhooks
    queue: deque[tuple[float, Claimed]] = field(factory=deque)
    in_flight: int = 0
    width: int = FIRST_WIDTH
    failures: int = 0
    paused_until: float = 0.0
    used: bool = True
    _answers: int = 0

    @property
    def held(self) -> int:
        """Deliveries in memory."""
        return len(self.queue) + self.in_flight

    @property
    def is_closed(self) -> bool:
        """Whether so many tries in a row failed that it is only asked whether it is back."""
        return self.failures >= self.limits.breaker_failures

    @property
    def is_fresh(self) -> bool:
        """Whether a new lane would be the same: it can be forgotten."""
        return not self.held and not self.failures

    def room(self, now: float) -> int:
        """How many more deliveries may be claimed for it: what runs and as much again."""
        if now < self.paused_until:
            return 0
        return max(0, (1 if self.is_closed else 2 * self.width) - self.held)

    def may_begin(self, now: float) -> bool:
        """Whether a queued delivery may be tried now."""
        if not self.queue or now < self.paused_until:
            return False
        return self.in_flight < (1 if self.is_closed else self.width)

    def answered(self) -> None:
        """A try was delivered."""
        self.failures = 0
        self.paused_until = 0.0
        self._answers += 1
        if self._answers >= self.width:
            self._answers = 0
            self.width = min(self.width + 1, self.limits.endpoint_in_flight_max)

    def failed(self, now: float) -> None:
        """A try failed."""
        self.failures += 1
        self._answers = 0
        self.width = max(1, self.width // 2)
        if self.is_closed:
            beyond = self.failures - self.limits.breaker_failures
            self.paused_until = now + self.limits.breaker_pause_s * min(2**beyond, PAUSES_MAX)


def default_room(limits: Webhooks) -> int:
    """The room of an endpoint that has no lane yet."""
    return Lane(limits).room(0.0)
