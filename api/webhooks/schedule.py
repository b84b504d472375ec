"""When a delivery that failed is tried again, and when it is given up. Pure."""

from __future__ import annotations

from typing import Final

from chassis.settings.webhooks import Webhooks

FACTOR: Final = 5  # 5 s, 25 s, 125 s, 625 s, then once an hour
JITTER: Final = 0.2  # of a delay: merchants that failed together do not come back together


def retry_delay_s(failures: int, draw: float, limits: Webhooks) -> float:
    """The wait before the next try.

    Args:
        failures: in a row, from 1.
        draw: from 0 to 1; of a delay the upper `JITTER` is drawn.
        limits: first and longest delay.
    """
    longest_s = limits.retry_max_s
    delay_s = min(limits.retry_first_s * float(FACTOR) ** min(failures - 1, 32), longest_s)
    return delay_s * (1 - JITTER * draw)


def is_over(*, since_us: int, due_at_us: int, limits: Webhooks) -> bool:
    """Whether a try at that instant would come too late."""
    return due_at_us - since_us > limits.give_up_s * 1_000_000
