"""What the switch asks the ledger beside its commits."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.clock import now_us
from ledger.pgtypes import timestamptz_
from switch.ledger_side import LedgerSide

HOUR_US = 3_600_000_000


class Ledger:
    """A sweep that finds nothing, and remembers by what instant it was made."""

    swept: bytes

    async def run(self, _query: Any, params: list[bytes]) -> Ledger:
        """Sweep."""
        self.swept = params[0]
        return self

    def rows(self) -> list[tuple[Any, ...]]:
        """Nothing was over."""
        return [(0, 0, 0, [])]


class Operations:
    """The clock of waits, so far from the time of day."""

    def __init__(self, ahead_us: int) -> None:
        self._ahead_us = ahead_us

    def steady_us(self) -> int:
        """Microseconds since 1970."""
        return now_us() + self._ahead_us


@pytest.mark.parametrize(("ahead_us", "swept_us"), [(HOUR_US, 0), (-HOUR_US, -HOUR_US)])
async def test_nothing_is_swept_that_one_clock_alone_says_is_over(
    ahead_us: int, swept_us: int
) -> None:
    """The wall clock may have been set forward, the steady one may have been made too early."""
    ledger = Ledger()
    before_us = now_us()
    side = LedgerSide(ledger, now_us)  # type: ignore[arg-type]
    assert await side.sweep(Operations(ahead_us), 10) == 0  # type: ignore[arg-type]
    instants = timestamptz_(before_us + swept_us), timestamptz_(now_us() + swept_us)
    assert instants[0] <= ledger.swept <= instants[1]
