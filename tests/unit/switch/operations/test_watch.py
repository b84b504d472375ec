"""A watch goes round: at once when woken, after a while otherwise, until it is closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from ledger.errors import (
    ConnectionLostError,
    DatabaseError,
    LedgerError,
    PoolOverloadError,
    RetryableError,
)
from switch.operations.forwarder import AGAIN_S
from switch.operations.watch import Watch

POLL_S = 0.25


class Desk:
    """Runs until it is closed."""

    def __init__(self) -> None:
        self.running = False
        self._closed = trio.Event()

    async def run(self) -> None:
        """Decide nothing."""
        self.running = True
        await self._closed.wait()
        self.running = False

    def close(self) -> None:
        """Let `run` return."""
        self._closed.set()


@attrs.define(eq=False)
class Queues:
    """Advices, doubts and findings that wait: what each round asked of them, and when."""

    rounds: list[tuple[str, float]] = attrs.field(factory=list)
    more: int = 0  # rounds that end with more due
    taking_up: Any = None  # raised when queues are taken up
    forwarding: Any = None  # raised or awaited in a round over the advices
    doubting: Any = None  # likewise, over the doubts
    began: float = attrs.field(factory=trio.current_time)

    async def _round(self, name: str, act: Any) -> None:
        self.rounds.append((name, round(trio.current_time() - self.began, 6)))
        await trio.lowlevel.checkpoint()
        if isinstance(act, Exception):
            raise act
        if act is not None:
            act()

    async def advices(self) -> float | None:
        """Look at advices; when to look for more."""
        await self._round("advices", self.forwarding)
        self.more -= 1
        return AGAIN_S if self.more >= 0 else None

    async def doubts(self) -> None:
        """Look at doubts."""
        await self._round("doubts", self.doubting)

    async def take_up(self) -> None:
        """Mend due times."""
        await self._round("taken up", self.taking_up)

    def tell_postponed(self) -> None:
        """Tell what waited for numbers."""
        self.rounds.append(("postponed", round(trio.current_time() - self.began, 6)))

    def times(self, name: str) -> list[float]:
        """When one of them was looked at, in seconds after the start."""
        return [at for each, at in self.rounds if each == name]


@attrs.define
class Part:
    """Stands for the forwarder or the doubts of a watch."""

    round: Any


@pytest.fixture
async def queues() -> Queues:
    """Nothing is due."""
    return Queues()


@pytest.fixture
async def watch(queues: Queues) -> Watch:
    """One that has not begun."""
    parts: Any = {
        "responsibility": None,
        "desk": Desk(),
        "forwarder": Part(queues.advices),
        "doubts": Part(queues.doubts),
        "telling": queues,
        "take_up": queues.take_up,
    }
    return Watch(**parts, poll_s=POLL_S)


@pytest.fixture
async def going(watch: Watch, nursery: trio.Nursery) -> AsyncIterator[Watch]:
    """One that goes round."""
    nursery.start_soon(watch.run)
    await trio.testing.wait_all_tasks_blocked(0.0)
    yield watch
    watch.close()
    watch.desk.close()


async def test_each_round_looks_at_all_three_queues(going: Watch, queues: Queues) -> None:
    """At the start, and whenever the poll is over."""
    await trio.sleep(2 * POLL_S + 0.01)
    names = ["advices", "doubts", "postponed"]
    assert [name for name, _ in queues.rounds] == ["taken up", *names * 3]
    assert queues.times("advices") == [0.0, POLL_S, 2 * POLL_S]


async def test_queues_are_taken_up_once_before_they_are_worked_off(
    watch: Watch, queues: Queues, nursery: trio.Nursery
) -> None:
    """Tried again while the ledger is away; nothing is looked at before."""
    queues.taking_up = ConnectionLostError("gone")
    nursery.start_soon(watch.run)
    await trio.sleep(1.5 * POLL_S)
    queues.taking_up = None
    await trio.sleep(2 * POLL_S)
    assert queues.times("taken up") == [0.0, POLL_S, 2 * POLL_S]
    assert queues.times("advices") == [2 * POLL_S, 3 * POLL_S]
    nursery.cancel_scope.cancel()


async def test_a_watch_that_is_woken_goes_round_at_once(going: Watch, queues: Queues) -> None:
    """No poll is waited for, and the next one counts from here."""
    await trio.sleep(0.1)
    going.wake()
    await trio.sleep(POLL_S + 0.01)
    assert queues.times("advices") == [0.0, 0.1, 0.1 + POLL_S]


async def test_being_woken_during_a_round_is_not_forgotten(going: Watch, queues: Queues) -> None:
    """What was put into the queue behind the look is found by the next one, at once."""

    def put() -> None:
        queues.doubting = None
        going.wake()

    queues.doubting = put
    await trio.sleep(POLL_S + 0.01)
    assert queues.times("advices") == [0.0, POLL_S, POLL_S]


async def test_more_than_a_round_takes_is_worked_off_with_pauses(
    watch: Watch, queues: Queues, nursery: trio.Nursery
) -> None:
    """Live traffic goes first; the poll is not waited for."""
    queues.more = 2
    nursery.start_soon(watch.run)
    await trio.sleep(0.1)
    assert queues.times("advices") == [0.0, AGAIN_S, 2 * AGAIN_S]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLostError("gone"),
        PoolOverloadError("busy"),
        RetryableError("deadlock", sqlstate="40P01"),
    ],
)
@pytest.mark.parametrize("queue", ["forwarding", "doubting"])
async def test_a_ledger_that_is_away_is_asked_again(
    error: LedgerError, queue: str, watch: Watch, queues: Queues, nursery: trio.Nursery
) -> None:
    """Findings are told all the same, and the watch goes on."""
    setattr(queues, queue, error)
    nursery.start_soon(watch.run)
    await trio.sleep(POLL_S + 0.01)
    assert queues.times("advices") == [0.0, POLL_S]
    assert queues.times("postponed") == [0.0, POLL_S]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("queue", ["forwarding", "doubting"])
async def test_a_fault_of_ours_ends_the_watch(queue: str, watch: Watch, queues: Queues) -> None:
    """Such as a missing privilege: hiding it would stop every reversal in silence."""
    setattr(queues, queue, DatabaseError("denied", sqlstate="42501"))
    with pytest.raises(BaseExceptionGroup) as raised:
        await watch.run()
    assert raised.group_contains(DatabaseError)


async def test_a_closed_watch_goes_round_no_more_while_its_desk_decides(
    watch: Watch, queues: Queues, nursery: trio.Nursery
) -> None:
    """It ends with its desk; being woken then means nothing."""
    ended = trio.Event()

    async def run() -> None:
        await watch.run()
        ended.set()

    nursery.start_soon(run)
    await trio.testing.wait_all_tasks_blocked(0.0)
    watch.close()
    await trio.sleep(2 * POLL_S)
    watch.wake()
    await trio.sleep(2 * POLL_S)
    assert (queues.times("advices"), watch.desk.running, ended.is_set()) == ([0.0], True, False)  # type: ignore[attr-defined]
    watch.desk.close()
    with trio.fail_after(1):
        await ended.wait()


async def test_a_watch_closed_during_a_round_does_not_wait_for_the_poll(
    watch: Watch, queues: Queues
) -> None:
    """The process drains now."""
    queues.doubting = watch.close
    watch.desk.close()
    before = trio.current_time()
    await watch.run()
    assert trio.current_time() == before


async def test_a_watch_whose_scope_is_canceled_ends_in_silence(
    watch: Watch, queues: Queues, nursery: trio.Nursery
) -> None:
    """Another process has become responsible; that is no fault."""
    ended = trio.Event()

    async def run() -> None:
        await watch.run()
        ended.set()

    nursery.start_soon(run)
    await trio.testing.wait_all_tasks_blocked(0.0)
    watch.scope.cancel()
    with trio.fail_after(1):
        await ended.wait()
    assert queues.times("advices") == [0.0]
