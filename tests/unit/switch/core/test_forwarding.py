"""When advices are sent again, and how many leave at once."""

from __future__ import annotations

import pytest

from switch.core.forwarding import SECOND_US, DrainRate, RepeatSchedule

NOW = 1_800_000_000 * SECOND_US
SCHEDULE = RepeatSchedule(
    answered_within_s=2.0, min_s=5.0, max_s=300.0, alarm_after=8, slow_s=3_600.0
)


def longest(low: float, high: float) -> float:
    """The draw at the ceiling."""
    return max(low, high)


def shortest(low: float, high: float) -> float:
    """The draw at the floor."""
    return min(low, high)


def wait_s(sends: int, draw: object) -> float:
    """Seconds until the next sending."""
    return (SCHEDULE.due_again_us(sends, NOW, draw) - NOW) / SECOND_US  # type: ignore[arg-type]


def test_waits_double_up_to_their_ceiling() -> None:
    """5, 10, 20 … 300 s, behind the time that an answer may take."""
    assert [wait_s(sends, longest) - 2.0 for sends in range(1, 8)] == [
        5,
        10,
        20,
        40,
        80,
        160,
        300,
    ]


def test_no_repeat_leaves_before_its_message_should_have_been_answered() -> None:
    """Full jitter may draw nothing."""
    assert {wait_s(sends, shortest) for sends in range(1, 8)} == {2.0}


def test_no_advice_lies_further_ahead_than_its_longest_wait() -> None:
    """By how often it was sent: what never was is due at once, and the last count is for ever."""
    latest = SCHEDULE.latest_us(NOW)
    assert latest[0] == NOW
    assert latest[1:] == [SCHEDULE.due_again_us(sends, NOW, longest) for sends in range(1, 9)]
    assert SCHEDULE.due_again_us(1_000, NOW, longest) == latest[-1]


@pytest.mark.parametrize("sends", [8, 9, 1_000, 100_000])
def test_nothing_expires(sends: int) -> None:
    """Hourly, for ever."""
    assert 3_602.0 <= wait_s(sends, shortest) <= wait_s(sends, longest) == 3_902.0


def test_somebody_is_called_once() -> None:
    """At the eighth sending, and not at the ninth."""
    assert [sends for sends in range(1, 20) if SCHEDULE.alarms(sends)] == [8]


def test_what_leaves_is_bounded_by_the_fifth_of_a_second() -> None:
    """A fifth of a second's worth at once, then as the time goes by."""
    rate = DrainRate(100.0, now=0.0)
    assert rate.allowed(0.0) == 20
    assert not rate.spent
    rate.left(20)
    assert rate.allowed(0.0) == 0
    assert rate.spent
    assert rate.allowed(0.05) == 5
    rate.left(2)
    assert rate.allowed(0.05) == 3
    assert rate.allowed(60.0) == 20


def test_the_slowest_rate_lets_one_leave() -> None:
    """One at once, and the next when its second is over."""
    rate = DrainRate(1.0, now=0.0)
    assert rate.allowed(0.0) == 1
    rate.left(1)
    assert rate.allowed(0.9) == 0
    assert rate.allowed(1.0) == 1
