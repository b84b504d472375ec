"""When a delivery is tried again, and when no more."""

from __future__ import annotations

from api.webhooks.schedule import is_over, retry_delay_s
from chassis.settings.webhooks import Webhooks

LIMITS = Webhooks()


def test_waits_grow_fivefold_up_to_an_hour() -> None:
    """However many failures there were."""
    waits = [retry_delay_s(failures, 0.0, LIMITS) for failures in (1, 2, 3, 4, 5, 6, 1_000)]
    assert waits == [5, 25, 125, 625, 3_125, 3_600, 3_600]


def test_jitter_only_shortens() -> None:
    """By a fifth at most, so that no wait is longer than was promised."""
    for failures in range(1, 10):
        longest = retry_delay_s(failures, 0.0, LIMITS)
        assert longest * 0.8 <= retry_delay_s(failures, 0.999, LIMITS) < longest


def test_a_delivery_is_given_up_after_72_hours() -> None:
    """Counted to the next try, not from the last."""
    hours_72_us = 72 * 3_600 * 1_000_000
    assert not is_over(since_us=1_000, due_at_us=1_000 + hours_72_us, limits=LIMITS)
    assert is_over(since_us=1_000, due_at_us=1_001 + hours_72_us, limits=LIMITS)
