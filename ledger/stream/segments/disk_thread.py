"""One thread that waits for the disk, so that the event loop need not.

Trio's own worker threads are for whoever comes: each call names its thread, carries its context
along and takes its place among those of others. The relay makes fifty calls a second, always the
same one, at the price of a hundred records each. Here a call goes through a queue to a thread that
waits for it, and its end comes back as an eventfd(2), which the loop waits for like any socket:
half the price.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import trio

Result = TypeVar("Result")


class DiskThread:
    """A thread for blocking calls, one at a time; made in the event loop, ended by `close`.

    Args:
        name: of the thread, for whoever looks at the process.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._results: list[Any] = []  # of the call that has ended, unless it raised an error
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[], Result]) -> Result:
        """Make a call; one that has begun is waited for, also when the task is canceled.

        Raises:
            BaseException: whatever the call raises.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._calls.put(call)
        with trio.CancelScope(shield=True):
            await trio.lowlevel.wait_readable(self._done)
        os.eventfd_read(self._done)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        result: Result = self._results.pop()
        return result

    def close(self) -> None:
        """End the thread; no call may be under way."""
        self._calls.put(None)
        self._thread.join()
        os.close(self._done)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                self._results.append(call())
            except BaseException as error:  # noqa: BLE001  it is raised where the call was made
                self._error = error
            os.eventfd_write(self._done, 1)
