"""Holds: what an approved authorization keeps back until it is captured or released. Pure.

    authorized = captured + held + released

A hold is found by what stays the same over a payment's life: DE 32, 37 and 42. Captures take from
it, each at most what is still held; a reversal of a part (DE 95) says how much of the authorized
amount stays, captures included, and releases the rest; a whole reversal releases everything, and
closes the hold for good.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct


class Hold(Struct, gc=False):
    """One authorization's hold; amounts in minor units."""

    card: str  # masked
    currency: str  # DE 49
    origin: str  # DE 11 and DE 7 of the authorization
    authorized: int
    held: int
    captured: int = 0
    reversed: bool = False  # closed: no capture is taken any more


def hold_key(acquirer_id: str, rrn: str, card_acceptor_id: str) -> str:
    """What all messages of one payment share: DE 32, 37, 42."""
    return f"{acquirer_id}\t{rrn}\t{card_acceptor_id}"


class Holds:
    """Holds by `hold_key`.

    Args:
        count_max: how many are kept. The oldest is forgotten for a new one: no capture finds it any
            more, and what it held stays held.

    Attributes:
        forgotten_total: holds forgotten while something was held.
    """

    __slots__ = ("_by_key", "_count_max", "_order", "forgotten_total")

    def __init__(self, count_max: int) -> None:
        self._by_key: dict[str, Hold] = {}
        self._order: deque[str] = deque()
        self._count_max = count_max
        self.forgotten_total = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: str) -> Hold | None:
        """The hold of a payment; None if there never was one, or it was forgotten."""
        return self._by_key.get(key)

    def add(self, key: str, hold: Hold) -> None:
        """Keep a hold; one that has the key already keeps its place."""
        if key not in self._by_key:
            if len(self._order) >= self._count_max:
                oldest = self._by_key.pop(self._order.popleft())
                self.forgotten_total += oldest.held > 0
            self._order.append(key)
        self._by_key[key] = hold
