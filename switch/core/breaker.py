"""Whether a network is worth trying: a breaker that opens when nothing comes back. Pure.

    closed --failures for a while, not one answer--> open --pause--> half-open
      ^                                               ^                  |
      |                                               +---no answer------+
      +----------------------------an answer-----------------------------+

Theory of operation. A failure is a message whose outcome is unknown, or that a link lost before it
left. A lost link makes many at one instant while others serve on, so a number alone opens nothing:
failures must also last, from the first to the last without any answer between. An open breaker
refuses payments before anything is recorded, so they go to another network or are declined at once
instead of hanging for a whole response time. Half-open, one message a pause is let through; the
first answer, to whatever message, closes it.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class BreakerState(Enum):
    """What may be sent: everything, nothing, or one message a pause."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One network's breaker; times are monotonic seconds.

    Args:
        failures_max: in a row, at least, before it opens.
        window_s: how long they must last.
        pause_s: between opening and the first try, and between tries.

    Attributes:
        state: as it stands.
        failures: since the last answer.
        opened_total: times it opened.
    """

    __slots__ = (
        "_failing_since",
        "_failures_max",
        "_next_try_at",
        "_pause_s",
        "_window_s",
        "failures",
        "opened_total",
        "state",
    )

    def __init__(self, *, failures_max: int, window_s: float, pause_s: float) -> None:
        self._failures_max = failures_max
        self._window_s = window_s
        self._pause_s = pause_s
        self._failing_since = 0.0
        self._next_try_at = 0.0
        self.state = BreakerState.CLOSED
        self.failures = 0
        self.opened_total = 0

    def answered(self) -> bool:
        """An answer came; whether that closed the breaker."""
        self.failures = 0
        closed, self.state = self.state is BreakerState.CLOSED, BreakerState.CLOSED
        return not closed

    def failed(self, count: int, now: float) -> bool:
        """So many messages came to nothing; whether that opened the breaker."""
        if not self.failures:
            self._failing_since = now
        self.failures += count
        if self.state is BreakerState.CLOSED:
            lasting = now - self._failing_since >= self._window_s
            if not lasting or self.failures < self._failures_max:
                return False
            self.opened_total += 1
            self._open(now)
            return True
        if self.state is BreakerState.HALF_OPEN:
            self._open(now)
        return False

    def allows(self, now: float) -> bool:
        """Whether a message may be sent; half-open, each yes is the one of its pause."""
        if self.state is BreakerState.CLOSED:
            return True
        if now < self._next_try_at:
            return False
        self.state = BreakerState.HALF_OPEN
        self._next_try_at = now + self._pause_s
        return True

    def _open(self, now: float) -> None:
        self.state = BreakerState.OPEN
        self._next_try_at = now + self._pause_s
