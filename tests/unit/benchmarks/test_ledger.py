"""The load of `turnout bench ledger` and `turnout bench relay`, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from benchmarks.ledger import Workplace, prepared, through_both
from ledger.records import ChargeToRecord, OutcomeToRecord, Won

COMMIT_S = 0.01


class Ledger:
    """Commits that take their time, and what was in them."""

    def __init__(self) -> None:
        self.commits: list[tuple[float, int]] = []

    async def create(self, _: Sequence[Any]) -> None:
        """Intents take no time."""
        await trio.lowlevel.checkpoint()

    async def record(self, charges: Sequence[ChargeToRecord], *, lane: str) -> list[Won]:
        """The first commit."""
        assert lane == "fast"
        self.commits.append((trio.current_time(), len(charges)))
        await trio.sleep(COMMIT_S)
        return [Won(100, "usd", 0, 2) for _ in charges]

    async def settle(self, outcomes: Sequence[OutcomeToRecord]) -> list[Any]:
        """The second commit."""
        await trio.sleep(COMMIT_S)
        return [SimpleNamespace(advanced=True) for _ in outcomes]


async def _commits(count: int, batch: int, rate_per_s: float) -> list[tuple[float, int]]:
    ledger = Ledger()
    place = cast(Workplace, SimpleNamespace(charges=ledger, outcomes=ledger, intents=ledger))
    rows = await prepared(place, count)
    began = trio.current_time()
    await through_both(place, rows, batch, rate_per_s)
    return [(at - began, size) for at, size in ledger.commits]


async def test_without_a_rate_commits_are_full(autojump_clock: MockClock) -> None:
    """All charges are there from the beginning, so every commit takes a batch."""
    del autojump_clock
    assert [size for _, size in await _commits(70, 32, 0.0)] == [32, 32, 6]


async def test_at_a_rate_no_charge_comes_before_its_time(autojump_clock: MockClock) -> None:
    """A commit holds what came during the one before, and none holds what is still to come."""
    del autojump_clock
    commits = await _commits(100, 32, 500.0)
    done = 0
    for at, size in commits:
        done += size
        assert done <= at * 500.0 + 1e-6
    assert done == 100
    assert commits[-1][0] == pytest.approx(100 / 500.0, abs=COMMIT_S)
    assert 1 < max(size for _, size in commits) <= COMMIT_S * 500.0 + 1


async def test_a_rate_that_is_too_high_makes_full_commits(autojump_clock: MockClock) -> None:
    """What came during a commit and does not fit into the next one waits for another."""
    del autojump_clock
    sizes = [size for _, size in await _commits(100, 8, 5_000.0)]
    assert sizes[1:-1] == [8] * (len(sizes) - 2)
    assert sum(sizes) == 100
