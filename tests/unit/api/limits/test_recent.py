"""What was seen is known for a window, and memory is bounded."""

from __future__ import annotations

import pytest

from api.limits.recent import Recent


def test_a_member_is_known_for_its_window() -> None:
    """For a window at least and two at most, in both of its generations."""
    recent = Recent(100, members_max=10)
    assert recent.add(b"a", 1_000)
    assert not recent.add(b"a", 1_050)
    assert recent.add(b"b", 1_099)
    assert not recent.add(b"b", 1_199)
    assert recent.add(b"c", 1_199)
    assert recent.add(b"a", 1_400)


def test_after_a_silence_nothing_is_known() -> None:
    """Both generations are over."""
    recent = Recent(100, members_max=10)
    recent.add(b"a", 0)
    assert recent.add(b"a", 200)
    assert len(recent) == 1


def test_strangers_cannot_make_it_grow() -> None:
    """More members than it may hold push the oldest out."""
    recent = Recent(10**12, members_max=50)
    for number in range(10_000):
        assert recent.add(b"%d" % number, 5)
        assert len(recent) <= 100
    assert not recent.add(b"9999", 5)


def test_a_set_of_nothing_is_refused() -> None:
    """It would know nothing."""
    with pytest.raises(ValueError, match="holds nothing"):
        Recent(100, members_max=0)
