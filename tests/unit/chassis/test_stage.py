from __future__ import annotations

import pytest
import trio
import trio.testing

from chassis.stage import Inbox, InboxClosedError, InboxFullError, run_stage


async def test_take_returns_everything_that_waits_in_order() -> None:
    """One take empties the inbox, oldest first."""
    inbox: Inbox[int] = Inbox(10, name="test")
    inbox.put(1)
    inbox.put_many([2, 3])
    assert await inbox.take(10) == [1, 2, 3]
    assert len(inbox) == 0


async def test_take_is_bounded_and_leaves_the_rest() -> None:
    """A batch is never larger than asked for."""
    inbox: Inbox[int] = Inbox(10, name="test")
    inbox.put_many(range(5))
    assert await inbox.take(2) == [0, 1]
    assert await inbox.take(2) == [2, 3]
    assert await inbox.take(2) == [4]


async def test_a_batch_gathers_what_was_put_in_the_same_tick() -> None:
    """Tasks that put in one tick fill one batch."""
    inbox: Inbox[int] = Inbox(10, name="test")
    batches: list[list[int]] = []

    async def handle(batch: list[int]) -> None:
        batches.append(batch)

    async def putter(item: int) -> None:
        inbox.put(item)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_stage(inbox, handle, batch_max=100))
        await trio.testing.wait_all_tasks_blocked()
        for item in range(8):
            nursery.start_soon(putter, item)
        await trio.testing.wait_all_tasks_blocked()
        inbox.close()
    assert [sorted(batch) for batch in batches] == [list(range(8))]


def test_a_full_inbox_raises_and_takes_nothing() -> None:
    """The bound is kept for single items and for batches, which go in whole or not at all."""
    inbox: Inbox[int] = Inbox(2, name="test")
    with pytest.raises(InboxFullError):
        inbox.put_many([1, 2, 3])
    assert len(inbox) == 0
    inbox.put_many([1, 2])
    with pytest.raises(InboxFullError):
        inbox.put(3)
    assert len(inbox) == 2


def test_peak_is_the_highest_number_that_waited() -> None:
    """The peak is published for metrics."""
    inbox: Inbox[int] = Inbox(5, name="test")
    inbox.put_many([1, 2, 3])
    assert inbox.peak == 3


def test_a_limit_below_one_is_refused() -> None:
    """An inbox that can hold nothing is a mistake in the settings."""
    with pytest.raises(ValueError, match="at least 1"):
        Inbox(0, name="test")


async def test_a_closed_inbox_gives_what_it_holds_and_then_ends() -> None:
    """Draining hands on every item before the stage ends."""
    inbox: Inbox[int] = Inbox(5, name="test")
    inbox.put_many([1, 2, 3])
    inbox.close()
    with pytest.raises(InboxClosedError):
        inbox.put(4)
    with pytest.raises(InboxClosedError):
        inbox.put_many([4])
    handled: list[list[int]] = []

    async def handle(batch: list[int]) -> None:
        handled.append(batch)

    await run_stage(inbox, handle, batch_max=2)
    assert handled == [[1, 2], [3]]
    assert await inbox.take(1) == []


async def test_close_wakes_every_waiting_taker() -> None:
    """Takers that wait learn of the end."""
    inbox: Inbox[int] = Inbox(5, name="test")
    taken: list[list[int]] = []

    async def take() -> None:
        taken.append(await inbox.take(1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        inbox.close()
    assert taken == [[], []]


async def test_two_takers_share_one_burst() -> None:
    """A taker that leaves items behind wakes the next one."""
    inbox: Inbox[int] = Inbox(5, name="test")
    taken: list[int] = []

    async def take() -> None:
        taken.extend(await inbox.take(1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        inbox.put_many([1, 2])
    assert sorted(taken) == [1, 2]


async def test_canceling_a_take_loses_nothing() -> None:
    """What was put stays for the next taker."""
    inbox: Inbox[int] = Inbox(5, name="test")
    with trio.CancelScope() as scope:
        scope.cancel()
        inbox.put(1)
        await inbox.take(5)
    assert scope.cancelled_caught
    assert await inbox.take(5) == [1]


async def test_an_error_of_the_stage_ends_it() -> None:
    """A failure of I/O is not swallowed."""
    inbox: Inbox[int] = Inbox(5, name="test")
    inbox.put(1)

    async def handle(batch: list[int]) -> None:
        raise OSError(f"no disk for {len(batch)}")

    with pytest.raises(OSError, match="no disk for 1"):
        await run_stage(inbox, handle, batch_max=5)
