"""How far the stream is behind, measured by positions seen and a clock that only moves on."""

from __future__ import annotations

from ledger.relay.health import SAMPLES_MAX, Health


def test_lag_is_the_age_of_the_oldest_position_not_reached() -> None:
    """It grows while the stream stands still, and ends where the stream arrives."""
    health = Health(reached_lsn=100)
    health.sample(10.0, 100)
    assert (health.lag_s, health.lag_bytes) == (0.0, 0)
    health.sample(11.0, 150)
    health.sample(12.0, 200)
    assert (health.lag_s, health.lag_bytes) == (1.0, 100)
    health.reached_lsn = 150
    health.measure(13.0)
    assert (health.lag_s, health.lag_bytes) == (1.0, 50)
    health.reached_lsn = 200
    health.measure(14.0)
    assert (health.lag_s, health.lag_bytes) == (0.0, 0)


def test_a_server_that_stands_still_makes_no_lag_of_its_own() -> None:
    """The same position seen again is as old as when it was seen first."""
    health = Health(reached_lsn=100)
    for second in range(5):
        health.sample(float(second), 150)
    assert health.lag_s == 4.0
    health.reached_lsn = 150
    health.sample(5.0, 150)
    assert health.lag_s == 0.0


def test_a_server_that_is_away_leaves_the_lag_growing() -> None:
    """Nothing new is seen, and what was seen is not reached."""
    health = Health(reached_lsn=100)
    health.sample(1.0, 150)
    health.measure(100.0)
    assert health.lag_s == 99.0


def test_memory_is_bounded_and_the_oldest_is_kept() -> None:
    """After a day without progress the lag is still told from its beginning."""
    health = Health()
    for second in range(SAMPLES_MAX + 10):
        health.sample(float(second), second + 1)
    assert len(health._samples) == SAMPLES_MAX
    assert health.lag_s == SAMPLES_MAX + 9


def test_another_cluster_starts_over() -> None:
    """Positions of different clusters are not compared."""
    health = Health()
    health.sample(1.0, 150)
    health.forget_samples()
    health.measure(9.0)
    assert health.lag_s == 0.0
