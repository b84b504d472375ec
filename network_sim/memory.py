"""What the issuer remembers of the messages it decided, so that none has its effect twice.

Bounded in count: the oldest message is forgotten for each new one. Memory is one dictionary and a
queue of its keys in order of arrival; a dictionary alone would have to search for its first live
entry past all the deleted ones.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from network_sim.holds import Hold


class Decided(Struct, gc=False):
    """One decided message. `reversed` also stands where the reversal came before the message."""

    body: str  # what a repeat must share; empty while only a reversal has named the message
    response_code: str
    answer_delay_ms: int
    reversed: bool = False
    settles: str = ""  # DE 15 of the answer, where it had one
    posted: int = 0  # what it moved, in minor units; positive left the cardholder's account
    hold: Hold | None = None  # of an approved authorization
    under_way_until_us: int = 0  # its answer has not left before then

    @property
    def approved(self) -> int:
        """The amount that was approved, in minor units."""
        return abs(self.posted) if self.hold is None else self.hold.authorized


class DecidedMessages:
    """Decided messages by what makes them the same one (`Books.identity`).

    Args:
        count_max: how many are remembered.

    Attributes:
        forgotten_total: how many were dropped to make room.
    """

    __slots__ = ("_by_key", "_count_max", "_order", "forgotten_total")

    def __init__(self, count_max: int) -> None:
        self._by_key: dict[str, Decided] = {}
        self._order: deque[str] = deque()
        self._count_max = count_max
        self.forgotten_total = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: str) -> Decided | None:
        """The message of this key, None if it is new or forgotten."""
        return self._by_key.get(key)

    def add(self, key: str, decided: Decided) -> None:
        """Remember a message, or replace what is remembered under its key."""
        if key not in self._by_key:
            if len(self._order) >= self._count_max:
                del self._by_key[self._order.popleft()]
                self.forgotten_total += 1
            self._order.append(key)
        self._by_key[key] = decided
