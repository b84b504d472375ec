"""Log lines about single payments and messages, a bounded number a second of each kind.

The event stream is the record; logs tell of anomalies, and a masked line costs 14 µs (design 3). A
network that answers garbage 5,000 times a second is one anomaly: the first few are told whole, the
rest are counted, and the next line of the kind says how many were withheld.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct

LINES_PER_S = 10  # of one kind: enough to see what happens, 140 µs of work


class _Kind(Struct, gc=False):
    since: float  # when its present second began
    told: int = 0
    withheld: int = 0


class Anomalies:
    """The pipeline's log lines; `clock` gives monotonic seconds."""

    __slots__ = ("_clock", "_kinds")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def tell(self, write: Callable[..., Any], event: str, **values: object) -> None:
        """Log one anomaly by `write`, such as `log.warning`, or count it as withheld.

        `event` names the kind and is from a closed set.
        """
        now = self._clock()
        kind = self._kinds.get(event)
        if kind is None:
            kind = self._kinds[event] = _Kind(now)
        elif now - kind.since >= 1.0:
            kind.since, kind.told = now, 0
        if kind.told >= LINES_PER_S:
            kind.withheld += 1
            return
        kind.told += 1
        if kind.withheld:
            values["withheld"] = kind.withheld
            kind.withheld = 0
        write(event, **values)
