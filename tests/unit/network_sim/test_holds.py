"""Holds are kept by payment, and so many of them."""

from __future__ import annotations

from network_sim.holds import Hold, Holds, hold_key


def _hold(held: int = 100) -> Hold:
    return Hold("424242******4242", "840", "0001231122071002", 100, held)


def test_a_hold_is_found_by_its_payment() -> None:
    """DE 32, 37 and 42 together."""
    holds = Holds(2)
    hold = _hold()
    holds.add(hold_key("400001", "RRN", "SHOP"), hold)
    assert holds.get(hold_key("400001", "RRN", "SHOP")) is hold
    assert holds.get(hold_key("400001", "RRN", "OTHER")) is None


def test_the_oldest_is_forgotten_for_a_new_one() -> None:
    """Only one that still held something is worth counting."""
    holds = Holds(2)
    for key, held in (("a", 0), ("b", 100), ("c", 100)):
        holds.add(key, _hold(held))
    assert (holds.get("a"), len(holds), holds.forgotten_total) == (None, 2, 0)
    holds.add("d", _hold())
    assert (holds.get("b"), holds.forgotten_total) == (None, 1)


def test_replacing_takes_no_room() -> None:
    """A second authorization of one payment stands in the first one's place."""
    holds = Holds(1)
    holds.add("a", _hold())
    second = _hold()
    holds.add("a", second)
    assert (holds.get("a"), len(holds)) == (second, 1)
