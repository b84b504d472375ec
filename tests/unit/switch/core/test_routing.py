"""Routing by PAN prefix."""

from __future__ import annotations

import pytest

from chassis.settings import Network
from switch.core.routing import RoutingError, RoutingTable

NETWORKS = {
    "vsim": Network(bins=("4",)),
    "msim": Network(bins=("5", "2221")),
    "backup": Network(bins=("4",), priority=2),
    "niche": Network(bins=("424242",)),
}


@pytest.mark.parametrize(
    ("pan", "expected"),
    [
        ("4000000000000002", ("vsim", "backup")),
        ("4242424242424242", ("niche",)),
        ("5555555555554444", ("msim",)),
        ("2221000000000009", ("msim",)),
        ("6011000000000004", ("msim",)),
    ],
)
def test_the_longest_prefix_wins_then_priority(pan: str, expected: tuple[str, ...]) -> None:
    """Candidates are those of the longest prefix, lower priority number first."""
    assert RoutingTable(NETWORKS, "msim").candidates(pan) == expected


def test_of_equal_priority_the_cheaper_network_comes_first() -> None:
    """And a lower priority number before any price; names decide the rest, for ever alike."""
    networks = {
        "dear": Network(bins=("4",), cost=1.2),
        "cheap": Network(bins=("4",), cost=0.9),
        "alike": Network(bins=("4",), cost=0.9),
        "free": Network(bins=("4",), cost=0.0, priority=2),
    }
    assert RoutingTable(networks, "dear").candidates("42") == ("alike", "cheap", "dear", "free")


def test_an_unknown_default_is_refused() -> None:
    """The default must be a network that exists."""
    with pytest.raises(RoutingError, match=r"switch.default_network: no network is called 'zsim'"):
        RoutingTable(NETWORKS, "zsim")


@pytest.mark.parametrize("prefix", ["4x", "", "123456789", "٤"])
def test_a_prefix_is_one_to_eight_digits(prefix: str) -> None:
    """The error names the network whose prefix is wrong."""
    with pytest.raises(RoutingError, match=r"networks.vsim.bins"):
        RoutingTable({"vsim": Network(bins=(prefix,))}, "vsim")
