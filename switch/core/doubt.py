"""What to do about an attempt in doubt: ask the network about it, or reverse it. Pure.

When the outcome of a charge or a refund is unknown, a window opens (money.md 6). Under
`inquire_then_reverse` inquiries are sent at set times after the doubt began; whoever learns the
outcome, by an inquiry or by a late answer, ends the doubt. When the window closes, a reversal takes
the place of all further questions. Under `reverse` the window is closed when it opens.

The times count from the beginning of the doubt, not from each other: inquiries that could not be
sent, for want of a link, are not made up for, and the window is never longer for it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from msgspec import Struct

SECOND_US = 1_000_000

UnknownPolicy = Literal["inquire_then_reverse", "reverse"]


class DoubtError(ValueError):
    """The times of a doubt contradict each other; says how."""


class Window(Struct, frozen=True):
    """When a doubt is looked into next, and when it must end; µs since 1970, the steady clock's."""

    due_at_us: int
    ends_at_us: int


class DoubtPolicy:
    """How one network's unknown outcomes are found out.

    Args:
        policy: whether to ask before reversing.
        inquiry_times_s: when to ask, seconds after the doubt began, ascending.
        window_s: when to stop asking and reverse, seconds after the doubt began.

    Raises:
        DoubtError: a time that lies outside the window, or not after the one before it.
    """

    __slots__ = ("_times_us", "_window_us")

    def __init__(
        self, policy: UnknownPolicy, *, inquiry_times_s: tuple[float, ...], window_s: float
    ) -> None:
        times = (0.0, *inquiry_times_s, window_s)
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise DoubtError("inquiry times must rise, and lie inside the window")
        inquires = policy == "inquire_then_reverse"
        self._times_us = tuple(int(t * SECOND_US) for t in inquiry_times_s) if inquires else ()
        self._window_us = int(window_s * SECOND_US) if inquires else 0

    def open(self, now_us: int) -> Window:
        """The window of a doubt that begins now."""
        times = (*self._times_us, self._window_us)
        return Window(now_us + times[0], now_us + self._window_us)

    def must_reverse(self, ends_at_us: int, now_us: int) -> bool:
        """Whether a window is over; one of a policy that no longer asks is."""
        return now_us >= ends_at_us or not self._times_us

    def latest_us(self, now_us: int) -> int:
        """How far ahead anything of a doubt can lie: at the end of a window that opens now.

        What lies further ahead was put there by a clock that was itself ahead.
        """
        return now_us + self._window_us

    @property
    def questions(self) -> int:
        """How often a network is asked about one doubt."""
        return len(self._times_us)

    def may_inquire(self, inquiries: int) -> bool:
        """Whether a question is left, after so many."""
        return inquiries < len(self._times_us)

    def next_due_us(self, inquiries: int, ends_at_us: int, now_us: int) -> int:
        """When to look again, after so many inquiries, the one about to be sent included."""
        began_at_us = ends_at_us - self._window_us
        times = [began_at_us + time_us for time_us in self._times_us[inquiries:]]
        return min((time_us for time_us in times if time_us > now_us), default=ends_at_us)
