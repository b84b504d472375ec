"""A lane widens while its endpoint answers, narrows when it fails, and closes."""

from __future__ import annotations

from api.webhooks.lanes import FIRST_WIDTH, Lane, default_room
from chassis.settings.webhooks import Webhooks
from ledger.webhooks.deliveries import Claimed

LIMITS = Webhooks(endpoint_in_flight_max=6, breaker_failures=3, breaker_pause_s=5.0)
ONE = Claimed(b"", b"", b"", 0, 0, 0, 0, b"")


def test_answers_widen_it_up_to_a_bound() -> None:
    """One more for each width of answers."""
    lane = Lane(LIMITS)
    for _ in range(FIRST_WIDTH - 1):
        lane.answered()
    assert lane.width == FIRST_WIDTH
    lane.answered()
    assert lane.width == FIRST_WIDTH + 1
    for _ in range(100):
        lane.answered()
    assert lane.width == LIMITS.endpoint_in_flight_max


def test_a_failure_halves_it() -> None:
    """Down to one, never to none."""
    lane = Lane(LIMITS)
    widths = []
    for _ in range(3):
        lane.failed(0.0)
        widths.append(lane.width)
    assert widths == [2, 1, 1]


def test_failures_in_a_row_close_it_for_a_pause() -> None:
    """Then one try at a time asks, with longer pauses up to a minute; an answer opens it."""
    lane = Lane(LIMITS)
    for _ in range(3):
        lane.failed(100.0)
    assert (lane.is_closed, lane.paused_until, lane.room(104.9)) == (True, 105.0, 0)
    assert lane.room(105.0) == 1
    pauses = []
    for _ in range(6):
        lane.failed(200.0)
        pauses.append(lane.paused_until - 200.0)
    assert pauses == [10, 20, 40, 60, 60, 60]
    lane.answered()
    assert (lane.is_closed, lane.width, lane.room(0.0)) == (False, 2, 4)


def test_a_lane_holds_twice_what_it_may_try() -> None:
    """Queued and under way together; one that is closed holds one."""
    lane = Lane(LIMITS)
    assert lane.room(0.0) == default_room(LIMITS) == 2 * FIRST_WIDTH
    lane.queue.extend([(0.0, ONE)] * 5)
    lane.in_flight = 2
    assert (lane.held, lane.room(0.0)) == (7, 1)
    assert lane.may_begin(0.0)
    lane.in_flight = FIRST_WIDTH
    assert not lane.may_begin(0.0)


def test_a_lane_is_forgotten_when_it_has_nothing_to_remember() -> None:
    """Failures are remembered; widths are not."""
    lane = Lane(LIMITS)
    assert lane.is_fresh
    lane.failed(0.0)
    assert not lane.is_fresh
    lane.answered()
    assert lane.is_fresh
