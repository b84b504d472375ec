"""What waits for its time, mostly answers: one heap per process, emptied by one task. Pure."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf


class DelayedAnswers:
    """What is to be done, by the time it is due.

    Args:
        count_max: how many may wait; one more is lost, as on a network that drops it.

    Attributes:
        lost_total: answers that found no room.
        peak: the most that have waited at once.
    """

    __slots__ = ("_count_max", "_heap", "_sequence", "lost_total", "peak")

    def __init__(self, count_max: int) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count_max = count_max
        self._sequence = 0  # keeps equal due times in order of arrival
        self.lost_total = 0
        self.peak = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due_at(self) -> float:
        """When the first one is due, in the caller's monotonic seconds; infinity if none waits."""
        return self._heap[0][0] if self._heap else inf

    def add(self, due_at: float, act: Callable[[], None]) -> None:
        """Wait until `due_at`, then call `act`."""
        if len(self._heap) >= self._count_max:
            self.lost_total += 1
            return
        self._sequence += 1
        heappush(self._heap, (due_at, self._sequence, act))
        self.peak = max(self.peak, len(self._heap))

    def send_due(self, now: float) -> None:
        """Do everything whose time has come, oldest first."""
        while self._heap and self._heap[0][0] <= now:
            heappop(self._heap)[2]()
