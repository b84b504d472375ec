"""The thread that waits for the disk: results, errors, and tasks that are canceled meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest
import trio
import trio.testing

from ledger.stream.segments.disk_thread import DiskThread


@pytest.fixture
def thread() -> Iterator[DiskThread]:
    """A thread that is ended afterwards."""
    thread = DiskThread("disk")
    yield thread
    thread.close()


def _fail() -> None:
    raise OSError("no room")


async def test_a_call_is_made_in_the_thread_and_its_result_comes_back(thread: DiskThread) -> None:
    """One call after the other, all in the same thread, which is not the loop's."""
    assert [await thread.run(partial(divmod, number, 3)) for number in range(3)] == [
        (0, 0),
        (0, 1),
        (0, 2),
    ]
    names = {(await thread.run(threading.current_thread)).name for _ in range(2)}
    assert names == {"disk"}


async def test_an_error_is_raised_where_the_call_was_made(thread: DiskThread) -> None:
    """And the next call knows nothing of it."""
    with pytest.raises(OSError, match="no room"):
        await thread.run(_fail)
    assert await thread.run(partial(abs, -1)) == 1


async def test_a_call_that_has_begun_is_waited_for(thread: DiskThread) -> None:
    """Also when its task is canceled: its result is known, and the next call gets its own."""
    may_end = threading.Event()
    found: list[bool] = []

    async def call(scope: trio.CancelScope) -> None:
        with scope:
            found.append(await thread.run(partial(may_end.wait, 5)))

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(call, scope)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert found == []
        may_end.set()
    assert found == [True]
    assert await thread.run(partial(abs, -1)) == 1


async def test_a_task_that_was_canceled_before_makes_no_call(thread: DiskThread) -> None:
    """Nothing has begun, so nothing is waited for."""
    made: list[int] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await thread.run(partial(made.append, 1))
    assert scope.cancelled_caught
    assert made == []
