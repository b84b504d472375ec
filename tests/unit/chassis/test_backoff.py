from __future__ import annotations

import pytest

from chassis.backoff import Backoff


def _ceiling(low: float, high: float) -> float:
    assert low == 0.0
    return high


def test_the_ceiling_doubles_up_to_the_maximum() -> None:
    """Delays grow exponentially and stop growing."""
    backoff = Backoff(min_s=0.5, max_s=3.0, uniform=_ceiling)
    assert [backoff.next_delay_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_reset_starts_over() -> None:
    """A proven peer is tried again quickly."""
    backoff = Backoff(min_s=0.5, max_s=60.0, uniform=_ceiling)
    for _ in range(10):
        backoff.next_delay_s()
    backoff.reset()
    assert backoff.next_delay_s() == 0.5


def test_a_client_that_never_succeeds_stays_at_the_maximum() -> None:
    """The power of two cannot overflow, however long the outage."""
    backoff = Backoff(min_s=0.5, max_s=60.0, uniform=_ceiling)
    assert {backoff.next_delay_s() for _ in range(5_000)} >= {60.0}


def test_delays_are_spread_between_nothing_and_the_ceiling() -> None:
    """The default draw has full jitter."""
    backoff = Backoff(min_s=1.0, max_s=1.0)
    delays = [backoff.next_delay_s() for _ in range(200)]
    assert min(delays) < 0.3
    assert max(delays) > 0.7
    assert all(0.0 <= delay <= 1.0 for delay in delays)


@pytest.mark.parametrize(("min_s", "max_s"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_senseless_bounds_are_refused(min_s: float, max_s: float) -> None:
    """Bounds that would spin or never wait are a mistake in the settings."""
    with pytest.raises(ValueError, match="min_s"):
        Backoff(min_s=min_s, max_s=max_s)
