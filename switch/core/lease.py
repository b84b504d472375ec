"""When a switch may send, and when another's lease may be taken over. Pure: time is an argument.

Theory of operation. Two things must never be true at once: a switch sends, and another one has
declared its messages lost. Both go by clocks, on machines that stop, sleep and lose their network,
so each side counts against itself.

*The holder* counts from before it asked for the renewal, and stops a margin before the end: its
lease is over for itself before it can be over for anybody else. Whatever froze the process
meanwhile, the first look at the clock afterwards says so.

*The watcher* trusts no time in the ledger, whose clock may be set. It counts how long a lease has
stood still before its own eyes: from after it first heard of that state to before it asked last.
Silence counts only while answers come regularly. After a gap everything is counted anew: when the
ledger was away nobody could renew, and whoever comes back first must not find all others dead.
After the time to live and a margin the dead one has stopped sending, and after the longest timer of
a network every answer to it has come or never will.

Seconds here are those of `chassis.clock.boot_s`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence

import attrs

from chassis.settings import Settings
from ledger.rows import LeaseRow

_SWITCH = "switch-"
_GAP_HEARTBEATS = 2  # between two answers; past it, others may have been unable to ask as well


@attrs.frozen(kw_only=True)
class LeaseTerms:
    """The times of a lease, in seconds.

    Attributes:
        ttl_s: from a heartbeat to the end of the lease.
        heartbeat_s: from one heartbeat to the next.
        margin_s: before the end, in which nothing is sent any more.
        silence_s: without a heartbeat, until another switch may take over.
    """

    ttl_s: float
    heartbeat_s: float
    margin_s: float
    silence_s: float

    @classmethod
    def of(cls, settings: Settings) -> LeaseTerms:
        """The terms that the settings give."""
        limits = settings.switch
        longest_s = max(
            (network.response_deadline_s for network in settings.networks.values()), default=0.0
        )
        return cls(
            ttl_s=limits.lease_ttl_s,
            heartbeat_s=limits.lease_heartbeat_s,
            margin_s=limits.lease_margin_s,
            silence_s=limits.lease_ttl_s + limits.lease_margin_s + longest_s,
        )


class Validity:
    """Until when this process may send.

    Attributes:
        until_s: the end, less the margin; -inf before the first heartbeat and once it is lost.
    """

    __slots__ = ("_lost", "_terms", "until_s")

    def __init__(self, terms: LeaseTerms) -> None:
        self._terms = terms
        self._lost = False
        self.until_s = -math.inf

    def renewed(self, asked_s: float) -> None:
        """A heartbeat succeeded that was asked for at `asked_s`, or later."""
        if not self._lost:
            until_s = asked_s + self._terms.ttl_s - self._terms.margin_s
            self.until_s = max(self.until_s, until_s)

    def lost(self) -> None:
        """Somebody else has a newer epoch: no heartbeat brings this lease back."""
        self._lost = True
        self.until_s = -math.inf


class LeaseWatch:
    """The leases of others, and for how long each has stood still."""

    def __init__(self, terms: LeaseTerms) -> None:
        self._terms = terms
        self._still: dict[str, tuple[LeaseRow, float]] = {}  # as it is, and heard of when
        self._heard_s = -math.inf

    def look(
        self, rows: Sequence[LeaseRow], held: Collection[str], *, asked_s: float, heard_s: float
    ) -> list[LeaseRow]:
        """Note how the leases are; returns those that may be taken over.

        Args:
            rows: every lease.
            held: the switches whose leases this process holds itself.
            asked_s: when the ledger was asked.
            heard_s: when it had answered.
        """
        if heard_s - self._heard_s > _GAP_HEARTBEATS * self._terms.heartbeat_s:
            self._still.clear()
        self._heard_s = heard_s
        still: dict[str, tuple[LeaseRow, float]] = {}
        silent = []
        for row in rows:
            if row.switch in held:
                continue
            known, since_s = self._still.get(row.switch, (None, heard_s))
            if known is None or _state(known) != _state(row):
                since_s = heard_s
            still[row.switch] = (row, since_s)
            if asked_s - since_s >= self._terms.silence_s:
                silent.append(row)
        self._still = still
        return silent


def _state(row: LeaseRow) -> tuple[int, int]:
    """What changes with every heartbeat and every epoch."""
    return row.epoch, row.expires_at_us


class DrawnIds:
    """Ids drawn from time to time, to tell which others were drawn long ago.

    A commit may lie long behind the drawing of its ids, and an attempt that is not committed yet
    cannot be seen to be open. So the search for open attempts ends below ids drawn `lag_s` ago.
    """

    __slots__ = ("_drawn", "_lag_s", "_settled")

    def __init__(self, lag_s: float) -> None:
        self._lag_s = lag_s
        self._drawn: deque[tuple[float, bytes]] = deque()
        self._settled = bytes(16)

    def note(self, now_s: float, drawn: bytes) -> None:
        """An id was drawn now, above all earlier ones."""
        self._drawn.append((now_s, drawn))

    def before_lag(self, now_s: float) -> bytes:
        """Every id below this one was drawn `lag_s` ago or earlier."""
        drawn = self._drawn
        while drawn and now_s - drawn[0][0] >= self._lag_s:
            self._settled = drawn.popleft()[1]
        return self._settled


def switch_name(index: int) -> str:
    """The name of a switch: the owner of attempts, and the key of its lease."""
    return f"{_SWITCH}{index}"


def owner_of(rrn: str) -> str:
    """The switch that drew an RRN, which begins with its index as a base-36 digit."""
    return switch_name(int(rrn[0], 36))
