"""The drain's own arithmetic: which cards, and how many in a second."""

from __future__ import annotations

from benchmarks.charges import WARM_UP_CHARGES
from benchmarks.drain import DOOMED, LIVE, LIVE_EVERY, Order
from benchmarks.drained import busiest_second


def test_the_busiest_second_is_any_second() -> None:
    """Not one that begins when a clock's does; its end belongs to the next."""
    assert busiest_second([]) == 0
    assert busiest_second([900_000, 100_000, 1_050_000, 1_899_999, 1_900_000]) == 3


def test_only_the_outage_has_doomed_cards_and_a_live_one_now_and_then() -> None:
    """So that the network never counts as dead; every card is another."""
    order = Order(reversals=100, rate=10.0)
    numbers = order.numbers(WARM_UP_CHARGES + order.total, seed=1)
    assert len(set(numbers)) == len(numbers) == WARM_UP_CHARGES + order.total
    outage_at = WARM_UP_CHARGES + order.before
    outage = numbers[outage_at : outage_at + order.outage]
    assert sum(number.startswith(DOOMED) for number in outage) == order.doomed >= 100
    assert all(number.startswith(LIVE) for number in numbers[:outage_at])
    assert all(number.startswith(LIVE) for number in numbers[outage_at + order.outage :])
    longest = max(map(len, "".join("d" if n.startswith(DOOMED) else " " for n in outage).split()))
    assert longest == LIVE_EVERY - 1
