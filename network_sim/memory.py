"""What the issuer remembers of the messages it decided, so that none has its effect twice.

Bounded in count: the oldest message is forgotten for each new one. Memory is one dictionary and a
queue of its keys in order of arrival; a dictionary alone would have to search for its first live
entry past all the deleted ones.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct


class Decided(Struct, gc=False):
    """One decided message. `reversed` also stands where the reversal came before the message."""

    body: str  # `journal.message_body`; empty while only a reversal has named the message
    response_code: str
    answer_delay_ms: int
    reversed: bool = False


class DecidedMessages:
    """Decided messages by `journal.message_key`.

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
