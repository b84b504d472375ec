"""A rate with a burst, by the generic cell rate algorithm, for as many senders as there are.

Theory of operation
-------------------
The algorithm (ITU-T I.371, annex A) keeps one instant a sender: when all that was admitted would
have been due if it came at the steady rate. A request is admitted while that instant, moved one
interval on, lies at most `burst` intervals ahead of now; a sender that was silent for long enough
has all of its burst again. It admits exactly what a bucket of `burst` tokens does that is filled
with `per_s` tokens a second, needs no task that fills, and says how long to wait.

Instants are whole nanoseconds of one monotonic clock, so that sums do not drift.

Senders are remembered in two generations, as nonces are (`api.nonces`): what is asked of goes to
the current one, and the older one is forgotten when the next begins. A generation lasts at least
as long as a whole burst takes to come back, so whoever is forgotten in turn had nothing left to
remember, and memory follows the senders of the last moments alone. Where there are more of these
than `senders_max`, a generation ends early. Some then have their burst again too soon, which is
counted: strangers with so many addresses could do no less with fresh ones.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

NS_PER_S: Final = 1_000_000_000
GENERATION_MIN_NS: Final = NS_PER_S  # turning generations over costs nothing worth telling


@frozen
class Rate:
    """So many a second for ever, and so many at once.

    Attributes:
        per_s: above 0.
        burst: at least 1: how many are admitted at once after a silence.
        interval_ns: between two at the steady rate.
        span_ns: how long a burst that is used up takes to come back.
    """

    per_s: float
    burst: int
    interval_ns: int = field(init=False)
    span_ns: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what admits nothing; work out the rest."""
        if not self.per_s > 0 or self.burst < 1:
            raise ValueError("a rate needs more than 0 a second, and a burst of at least 1")
        interval_ns = max(1, round(NS_PER_S / self.per_s))
        object.__setattr__(self, "interval_ns", interval_ns)
        object.__setattr__(self, "span_ns", interval_ns * self.burst)


class Meter:
    """One rate, kept for each sender by itself.

    Args:
        rate: what every sender may.
        senders_max: remembered at most in each of the two generations.

    Attributes:
        rate: likewise.
        refused_total: how many were not admitted.
        forgotten_early_total: senders that were forgotten before their time.
    """

    __slots__ = (
        "_current",
        "_interval_ns",
        "_lasts_ns",
        "_previous",
        "_rotate_at",
        "_senders_max",
        "_span_ns",
        "forgotten_early_total",
        "rate",
        "refused_total",
    )

    def __init__(self, rate: Rate, *, senders_max: int) -> None:
        if senders_max < 1:
            raise ValueError("a meter remembers at least one sender")
        self.rate = rate
        self.refused_total = 0
        self.forgotten_early_total = 0
        self._interval_ns = rate.interval_ns
        self._span_ns = rate.span_ns
        self._lasts_ns = max(rate.span_ns, GENERATION_MIN_NS)
        self._senders_max = senders_max
        self._current: dict[bytes, int] = {}  # sender -> when all that it asked would be due
        self._previous: dict[bytes, int] = {}
        self._rotate_at = 0

    def __len__(self) -> int:
        """How many senders are remembered; one of both generations counts twice."""
        return len(self._current) + len(self._previous)

    def take(self, sender: bytes, now_ns: int) -> int:
        """Ask for one; 0 admits it, anything else is how many nanoseconds to wait.

        What is refused changes nothing but who is remembered longest. `now_ns` is of a monotonic
        clock.
        """
        if now_ns >= self._rotate_at:
            self._rotate(now_ns)
        current = self._current
        due = current.get(sender)
        if due is None:
            due = self._previous.get(sender, 0)
        next_due = (due if due > now_ns else now_ns) + self._interval_ns  # noqa: FURB136  half as fast
        wait_ns = next_due - now_ns - self._span_ns
        if wait_ns > 0:
            self.refused_total += 1
            next_due = due
        else:
            wait_ns = 0
        current[sender] = next_due
        if len(current) > self._senders_max:
            self._forget_early()
        return wait_ns

    def give_back(self, sender: bytes) -> None:
        """Take one back that was admitted; of a sender that was forgotten there is nothing."""
        for generation in (self._current, self._previous):
            due = generation.get(sender)
            if due is not None:
                generation[sender] = due - self._interval_ns
                return

    def _rotate(self, now_ns: int) -> None:
        """Begin a generation; after a long silence both old ones are over."""
        over = now_ns >= self._rotate_at + self._lasts_ns
        self._previous = {} if over else self._current
        self._current = {}
        self._rotate_at = now_ns + self._lasts_ns

    def _forget_early(self) -> None:
        """Begin a generation before its time: nobody is let in without being remembered."""
        self.forgotten_early_total += len(self._previous)
        self._previous = self._current
        self._current = {}
