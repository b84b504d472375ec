"""When networks are asked about a doubt, and when the asking ends."""

from __future__ import annotations

import pytest

from switch.core.doubt import SECOND_US, DoubtError, DoubtPolicy, Window

NOW = 1_800_000_000 * SECOND_US
INQUIRES = DoubtPolicy("inquire_then_reverse", inquiry_times_s=(1, 3, 8), window_s=30)
REVERSES = DoubtPolicy("reverse", inquiry_times_s=(1, 3, 8), window_s=30)


def test_a_window_opens_with_the_doubt() -> None:
    """First question after a second, the end after thirty."""
    assert INQUIRES.open(NOW) == Window(NOW + SECOND_US, NOW + 30 * SECOND_US)


def test_a_policy_that_reverses_has_a_window_that_is_over() -> None:
    """Due at once, and over at once."""
    assert REVERSES.open(NOW) == Window(NOW, NOW)
    assert REVERSES.must_reverse(NOW + 30 * SECOND_US, NOW)
    assert not REVERSES.may_inquire(0)


def test_the_window_is_over_at_its_end_and_not_before() -> None:
    """Exactly at the instant."""
    ends_at_us = INQUIRES.open(NOW).ends_at_us
    assert not INQUIRES.must_reverse(ends_at_us, ends_at_us - 1)
    assert INQUIRES.must_reverse(ends_at_us, ends_at_us)


@pytest.mark.parametrize(
    ("inquiries", "now_s", "next_s"),
    [
        (1, 1, 3),
        (2, 3, 8),
        (3, 8, 30),
        (1, 4, 8),  # the second time has passed while no link was up
        (1, 9, 30),
        (0, 0, 1),
        (7, 2, 30),
    ],
)
def test_the_next_question_has_a_time_of_its_own(inquiries: int, now_s: int, next_s: int) -> None:
    """Times count from the beginning of the doubt; those that have passed are not made up for."""
    ends_at_us = INQUIRES.open(NOW).ends_at_us
    due = INQUIRES.next_due_us(inquiries, ends_at_us, NOW + now_s * SECOND_US)
    assert due == NOW + next_s * SECOND_US


def test_questions_are_numbered() -> None:
    """Three, and no fourth."""
    assert [INQUIRES.may_inquire(number) for number in range(4)] == [True, True, True, False]


def test_nothing_of_a_doubt_lies_further_ahead_than_its_window() -> None:
    """One that opens now ends there; under a policy that reverses nothing lies ahead at all."""
    assert INQUIRES.latest_us(NOW) == INQUIRES.open(NOW).ends_at_us
    assert REVERSES.latest_us(NOW) == NOW
    assert (INQUIRES.questions, REVERSES.questions) == (3, 0)


@pytest.mark.parametrize(
    ("times", "window"), [((3.0, 1.0), 30.0), ((1.0, 1.0), 30.0), ((0.0,), 30.0), ((1.0, 30.0), 30)]
)
def test_times_that_contradict_each_other_are_refused(
    times: tuple[float, ...], window: float
) -> None:
    """They must rise, and lie inside the window."""
    with pytest.raises(DoubtError, match="inside the window"):
        DoubtPolicy("inquire_then_reverse", inquiry_times_s=times, window_s=window)
