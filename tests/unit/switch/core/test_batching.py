"""Batches never hold two payments of one intent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from switch.core.batching import split_distinct


@given(st.lists(st.integers(0, 5)))
def test_splitting_until_nothing_is_left_keeps_every_item_once(items: list[int]) -> None:
    """Each round is free of repeats, and the rounds together are the batch."""
    rest, rounds = items, []
    while rest:
        first, rest = split_distinct(rest, lambda item: item)
        assert len(set(first)) == len(first)
        rounds.extend(first)
    assert sorted(rounds) == sorted(items)
