"""When a network is no longer tried, and when it is again."""

from __future__ import annotations

import pytest

from switch.core.breaker import Breaker, BreakerState


@pytest.fixture
def breaker() -> Breaker:
    """Ten failures over three seconds open it; a try each second."""
    return Breaker(failures_max=10, window_s=3.0, pause_s=1.0)


def _open(breaker: Breaker, at: float = 0.0) -> float:
    breaker.failed(5, at)
    assert breaker.failed(5, at + 3.0)
    return at + 3.0


def test_failures_that_last_open_it(breaker: Breaker) -> None:
    """A number and a time: neither alone will do."""
    assert not breaker.failed(1_000, 10.0)
    assert not breaker.failed(1_000, 12.9)
    assert breaker.allows(12.9)
    assert breaker.failed(1, 13.0)
    assert not breaker.allows(13.0)
    assert breaker.opened_total == 1


def test_few_failures_open_nothing_however_long(breaker: Breaker) -> None:
    """A quiet network with one silent card is no broken network."""
    for second in range(9):
        assert not breaker.failed(1, 60.0 * second)
    assert breaker.allows(600.0)
    assert breaker.failed(1, 600.0)


def test_one_answer_starts_the_count_over(breaker: Breaker) -> None:
    """The network lives; the time starts over too."""
    breaker.failed(9, 0.0)
    assert not breaker.answered()
    assert not breaker.failed(9, 100.0)
    assert not breaker.failed(9, 102.0)
    assert breaker.failed(1, 103.0)


def test_open_it_lets_one_message_through_a_pause(breaker: Breaker) -> None:
    """Its failure is waited for no longer than the next try."""
    now = _open(breaker)
    assert [breaker.allows(now + tenths / 10) for tenths in range(10)] == [False] * 10
    assert breaker.allows(now + 1.0)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.allows(now + 1.5)
    assert breaker.allows(now + 2.0)
    assert not breaker.failed(1, now + 3.5)  # of the first try
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allows(now + 4.4)
    assert breaker.allows(now + 4.5)
    assert breaker.opened_total == 1


@pytest.mark.parametrize("half_open", [True, False])
def test_any_answer_closes_it(breaker: Breaker, half_open: bool) -> None:  # noqa: FBT001
    """Also one to a message that was in flight when it opened."""
    now = _open(breaker)
    if half_open:
        assert breaker.allows(now + 1.0)
    assert breaker.answered()
    assert not breaker.answered()
    assert all(breaker.allows(now + 1.0) for _ in range(100))
    assert not breaker.failed(1_000, now + 2.0)
