"""Waiting before trying again: exponential, with full jitter.

Full jitter (a uniform draw between nothing and a doubling ceiling) spreads the comeback of many
clients evenly; see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
from collections.abc import Callable

DOUBLINGS_MAX = 32  # keeps the power finite; every ceiling is reached long before


class Backoff:
    """The delays of one client towards one peer.

    Args:
        min_s: ceiling of the first delay, in seconds.
        max_s: ceiling of every later one.
        uniform: draws between two bounds; tests pass their own.
    """

    __slots__ = ("_attempts", "_max_s", "_min_s", "_uniform")

    def __init__(
        self,
        *,
        min_s: float,
        max_s: float,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if not 0 < min_s <= max_s:
            raise ValueError("backoff needs 0 < min_s <= max_s")
        self._min_s = min_s
        self._max_s = max_s
        self._uniform = uniform
        self._attempts = 0

    def next_delay_s(self) -> float:
        """The next delay in seconds; its ceiling doubles with each call since `reset`."""
        ceiling = min(self._max_s, self._min_s * 2.0 ** min(self._attempts, DOUBLINGS_MAX))
        self._attempts += 1
        return self._uniform(0.0, ceiling)

    def reset(self) -> None:
        """Start over: the peer has proved itself."""
        self._attempts = 0


def jitter(low: float, high: float) -> float:
    """A uniform draw between two bounds, for those who keep their own delays."""
    return random.uniform(low, high)  # noqa: S311  spreads load; nothing secret about it
