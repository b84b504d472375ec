"""When an advice is sent again, and how many may be sent now. Pure: time and chance are arguments.

The waits grow from 5 s to 300 s, each drawn between nothing and its ceiling, so that what piled up
behind an outage does not come back in one wave. After so many sendings that somebody should look
the advice is sent hourly, for ever: nothing that the network has not acknowledged is given up.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

SECOND_US = 1_000_000
SAVED_S = 0.2  # of the drain rate; a longer wave would make live payments wait behind it
DOUBLINGS_MAX = 32  # keeps the power finite; every ceiling is reached long before


@attrs.frozen(kw_only=True)
class RepeatSchedule:
    """When the advices of one network are due again.

    Attributes:
        answered_within_s: how long an answer may take; no repeat leaves before.
        min_s: ceiling of the first wait after that.
        max_s: ceiling of every later one.
        alarm_after: sendings, then somebody should look.
        slow_s: the wait from then on.
    """

    answered_within_s: float
    min_s: float
    max_s: float
    alarm_after: int
    slow_s: float

    def due_again_us(
        self, sends: int, now_us: int, uniform: Callable[[float, float], float]
    ) -> int:
        """When to send again what has now been sent so many times.

        Args:
            sends: this one included.
            now_us: of this one.
            uniform: draws between two bounds.
        """
        if sends >= self.alarm_after:
            wait_s = self.slow_s + uniform(0.0, self.max_s)
        else:
            doublings = min(sends - 1, DOUBLINGS_MAX)
            wait_s = uniform(0.0, min(self.max_s, self.min_s * 2.0**doublings))
        return now_us + int((self.answered_within_s + wait_s) * SECOND_US)

    def latest_us(self, now_us: int) -> list[int]:
        """How far ahead an advice can be due, by how often it has been sent.

        The last one holds for every higher count, the first for what was never sent, which is due
        at once. What lies further ahead was put there by a clock that was itself ahead.
        """
        counts = range(1, self.alarm_after + 1)
        return [
            now_us,
            *(self.due_again_us(sends, now_us, lambda _, high: high) for sends in counts),
        ]

    def alarms(self, sends: int) -> bool:
        """Whether this is the sending after which somebody should look."""
        return sends == self.alarm_after


class DrainRate:
    """How many advices of one network may leave now: so many a second, saved up for a fifth of one.

    It keeps live traffic ahead of what an outage left behind.
    """

    __slots__ = ("_at", "_per_s", "_saved", "_saved_max")

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._saved = max(1.0, per_s * SAVED_S)
        self._saved_max = max(2.0, per_s * SAVED_S)  # a slow rate's next one, while one waits
        self._at = now

    def allowed(self, now: float) -> int:
        """How many may leave at this instant (monotonic seconds)."""
        self._saved = min(self._saved_max, self._saved + (now - self._at) * self._per_s)
        self._at = now
        return int(self._saved)

    def left(self, count: int) -> None:
        """So many have left."""
        self._saved -= count

    @property
    def spent(self) -> bool:
        """Whether not even one may leave any more."""
        return self._saved < 1
