"""Inboxes and stages: how payments travel through a process in batches.

Theory of operation. A process is a row of stages; each stage is one task that takes everything
waiting in its inbox (up to a limit), decides for the whole batch and hands on. While a stage is
busy with slow work, such as a commit, the next batch gathers by itself: nothing waits when the
process is idle, and batches grow exactly when growing them pays.

An inbox never blocks the one who puts: its bound is kept by admission at the front door, which
gives every payment a credit, so a full inbox is a broken promise and raises. Putting is an
ordinary function, hence atomic between checkpoints; only taking may wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class InboxError(Exception):
    """Base of what an inbox refuses; never raised itself."""


class InboxFullError(InboxError):
    """More was put than admission allows: a fault of ours, never of a client."""


class InboxClosedError(InboxError):
    """Something was put after `close`: the stages were drained in the wrong order."""


class Inbox(Generic[T]):
    """What waits for one stage.

    Args:
        limit: items it holds at most, the sum of what admission lets in.
        name: for errors and metrics.

    Attributes:
        peak: the largest number of items that ever waited.
    """

    __slots__ = ("_closed", "_items", "_limit", "_takers", "name", "peak")

    def __init__(self, limit: int, *, name: str) -> None:
        if limit < 1:
            raise ValueError(f"inbox {name}: the limit must be at least 1")
        self.name = name
        self.peak = 0
        self._limit = limit
        self._closed = False
        self._items: deque[T] = deque()
        self._takers = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        """Items waiting now."""
        return len(self._items)

    def put(self, item: T) -> None:
        """Add one item at the end.

        Raises:
            InboxFullError: the limit is reached; nothing was added.
            InboxClosedError: the inbox no longer takes anything.
        """
        items = self._items
        if self._closed:
            raise InboxClosedError(self.name)
        if len(items) >= self._limit:
            raise InboxFullError(self.name)
        items.append(item)
        self._arrived(1)

    def put_many(self, batch: Iterable[T]) -> None:
        """Add a batch at the end, all of it or nothing; raises as `put` does."""
        if self._closed:
            raise InboxClosedError(self.name)
        batch = list(batch)
        if len(self._items) + len(batch) > self._limit:
            raise InboxFullError(self.name)
        self._items.extend(batch)
        self._arrived(len(batch))

    def _arrived(self, count: int) -> None:
        waiting = len(self._items)
        self.peak = max(self.peak, waiting)
        # Only the step from empty wakes: whoever leaves items behind wakes the next taker.
        if waiting == count:
            self._takers.unpark()

    async def take(self, maximum: int) -> list[T]:
        """Wait for something and take up to `maximum` items, oldest first.

        An empty list means closed and empty: there will never be more. A checkpoint is always
        passed first, waiting being one, so that all that other tasks put in this tick is in the
        batch, and so that a stage which never waits otherwise cannot starve the process. Canceling
        loses nothing.
        """
        items = self._items
        if items or self._closed:
            await trio.lowlevel.checkpoint()
        while not items:
            if self._closed:
                return []
            await self._takers.park()
        if len(items) <= maximum:
            batch = list(items)
            items.clear()
        else:
            batch = list(islice(items, maximum))
            for _ in batch:
                items.popleft()
            self._takers.unpark()
        return batch

    def close(self) -> None:
        """Take nothing more; what waits can still be taken. Idempotent."""
        self._closed = True
        self._takers.unpark_all()


async def run_stage(
    inbox: Inbox[T], handle_batch: Callable[[list[T]], Awaitable[None]], *, batch_max: int
) -> None:
    """Hand batch after batch to `handle_batch` until the inbox is closed and empty.

    `handle_batch` must be total for each item: an exception out of it is a failure of I/O that
    ends the stage, and with it the process. To drain a row of stages, close the first inbox and
    close each further one after the `run_stage` before it has returned.
    """
    while batch := await inbox.take(batch_max):
        await handle_batch(batch)
