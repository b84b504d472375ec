"""One factor for every timer."""

from __future__ import annotations

from chassis.settings.tree import Network, Simulator
from network_sim.timing import scaled


def test_times_are_scaled_and_nothing_else() -> None:
    """Seconds as floats; counts, names and what is remembered stay."""
    network = scaled(Network(response_deadline_s=15.0, connections=2), 0.1)
    assert (network.response_deadline_s, network.connections) == (1.5, 2)
    limits = scaled(Simulator(), 0.1)
    assert limits.idle_timeout_s == Simulator().idle_timeout_s / 10
    assert limits.remembered_s == Simulator().remembered_s


def test_a_factor_of_one_changes_nothing() -> None:
    """Settings are what they were."""
    assert scaled(Network(), 1.0) == Network()
