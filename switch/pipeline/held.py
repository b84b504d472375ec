"""Outcomes whose intents somebody sits on: they wait here, so that nothing else has to.

Commit 2 waits for locks, and must not take a locked intent for one that has moved on. An outcome
that the settling stage cannot commit at once is handed over to this queue, whose own task, with a
session of its own, tries again and again. Outcomes of one intent keep their order: while one of
them is held, later ones queue up behind it, or an answer would overtake the `unknown` that it
resolves. Different intents do not wait for each other.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Held(Generic[T]):
    """Queues of what is held, one an intent; bounded by what admission lets in.

    Attributes:
        name: for the metrics, as an inbox has it.
        peak: the most that was ever held.
    """

    def __init__(self) -> None:
        self.name = "held"
        self.peak = 0
        self._queues: dict[bytes, deque[T]] = {}
        self._count = 0
        self._closed = False
        self._takers = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        """Items held now."""
        return self._count

    def put(self, intent_id: bytes, item: T) -> None:
        """Hold an item, behind those of its intent."""
        self._queues.setdefault(intent_id, deque()).append(item)
        self._count += 1
        self.peak = max(self.peak, self._count)
        self._takers.unpark()

    def claim(self, intent_id: bytes, item: T) -> bool:
        """Hold an item if one of its intent is held already; says whether."""
        if intent_id not in self._queues:
            return False
        self.put(intent_id, item)
        return True

    async def heads(self, maximum: int) -> list[tuple[bytes, T]]:
        """Wait for something and show the first item of up to so many intents.

        They stay until `done`. An empty list means closed and empty: there will never be more.
        """
        await trio.lowlevel.checkpoint()
        while not self._queues:
            if self._closed:
                return []
            await self._takers.park()
        return [(intent_id, queue[0]) for intent_id, queue in islice(self._queues.items(), maximum)]

    def done(self, intent_id: bytes) -> None:
        """The first item of this intent is committed: the next one comes to the head."""
        queue = self._queues.pop(intent_id)
        queue.popleft()
        self._count -= 1
        if queue:
            self._queues[intent_id] = queue

    def put_back(self, intent_id: bytes) -> None:
        """This intent is still held: others have their turn first."""
        self._queues[intent_id] = self._queues.pop(intent_id)

    def close(self) -> None:
        """Nothing more will be held; what is held can still be committed. Idempotent."""
        self._closed = True
        self._takers.unpark_all()
