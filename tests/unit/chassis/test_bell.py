from __future__ import annotations

import pytest
import trio
import trio.testing

from chassis.bell import Bell


async def test_a_ring_wakes_the_waiting_task_once(nursery: trio.Nursery) -> None:
    """Each wait needs a ring of its own."""
    bell, woken = Bell(), []

    async def wait_twice() -> None:
        for number in range(2):
            await bell.wait()
            woken.append(number)

    nursery.start_soon(wait_twice)
    await trio.testing.wait_all_tasks_blocked()
    bell.ring()
    bell.ring()
    await trio.testing.wait_all_tasks_blocked()
    assert woken == [0]
    bell.ring()
    await trio.testing.wait_all_tasks_blocked()
    assert woken == [0, 1]


async def test_a_ring_that_nobody_hears_is_lost() -> None:
    """The bell remembers nothing: the condition is what counts."""
    bell = Bell()
    bell.ring()
    with trio.move_on_after(0.005) as scope:
        await bell.wait()
    assert scope.cancelled_caught


async def test_a_second_waiter_is_an_error(nursery: trio.Nursery) -> None:
    """One bell has one listener."""
    bell = Bell()
    nursery.start_soon(bell.wait)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await bell.wait()
    bell.ring()


async def test_a_canceled_waiter_is_not_woken(nursery: trio.Nursery) -> None:
    """After a cancellation the bell is free for the next waiter."""
    bell = Bell()
    with trio.move_on_after(0):
        await bell.wait()
    bell.ring()
    nursery.start_soon(bell.wait)
    await trio.testing.wait_all_tasks_blocked()
    bell.ring()
