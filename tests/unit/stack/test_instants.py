"""Spans of time, and how often, for people."""

from __future__ import annotations

import pytest

from stack.instants import age, times


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (11_530, "3 h 12 min"),
        (86_400 * 2 + 3_599, "2 d"),
        (86_400 * 2 + 3_600, "2 d 1 h"),
    ],
)
def test_ages_are_short(seconds: float, words: str) -> None:
    """The two largest units, none of them zero; a clock that is behind shows none."""
    assert age(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "never"), (1, "once"), (2, "twice"), (3, "3 times"), (20, "20 times")]
)
def test_counts_are_words(count: int, words: str) -> None:
    """Nobody says 1 times."""
    assert times(count) == words
