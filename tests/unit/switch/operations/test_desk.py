"""A desk: one step of an intent at a time, locks wait elsewhere, every step is answered once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from chassis.stage import InboxClosedError
from ledger.deciding.committer import BLOCKED
from ledger.leases import LeaseLostError
from ledger.records import Lost
from switch.core.operations.steps import Admit
from switch.operations.desk import HANDED_BACK, SLOW_BATCH_MAX, Desk
from switch.operations.errands import OperationCounts
from switch.pipeline.anomalies import Anomalies
from tests.support.operations import Book


class Committer:
    """Says which steps it was given; hangs, blocks or fails as the test wants."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[bytes]]] = []
        self.blocked: set[bytes] = set()
        self.may: dict[str, trio.Event] = {}
        self.answer: Any = "decided"
        self.error: Exception | None = None

    async def run(self, steps: Sequence[Any], *, lane: str) -> list[Any]:
        """Keep a batch and answer it."""
        intents = [step.intent_id for step in steps]
        assert len(set(intents)) == len(intents)
        self.batches.append((lane, intents))
        if lane in self.may:
            await self.may[lane].wait()
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        fast = lane == "fast"
        return [BLOCKED if fast and each in self.blocked else self.answer for each in intents]


@pytest.fixture
def committer() -> Committer:
    """Decides at once."""
    return Committer()


@pytest.fixture
def counts() -> OperationCounts:
    """Nothing yet."""
    return OperationCounts()


@pytest.fixture
async def desk(
    committer: Committer, counts: OperationCounts, nursery: trio.Nursery
) -> AsyncIterator[Desk]:
    """A desk that runs, and is closed at the end."""
    made = make_desk(committer, counts)
    nursery.start_soon(made.run)
    yield made
    made.close()


def make_desk(committer: Committer, counts: OperationCounts) -> Desk:
    """A desk for batches of four."""
    return Desk(
        "switch-0",
        committer=committer,
        take_ids=lambda count: [bytes(16)] * count,
        batch_max=4,
        waiting_max=64,
        counts=counts,
        anomalies=Anomalies(),
    )


def step(intent: bytes) -> Admit:
    """A cancel; all of them have the same key."""
    book = Book(intent_id=intent)
    return Admit(book.order("cancel"), book.context())


def submit(desk: Desk, *intents: bytes) -> list[Any]:
    """Have steps about intents decided; the answers, as they come in."""
    answers: list[Any] = []
    for number, intent in enumerate(intents):
        book = Book(intent_id=intent)
        for _ in range(number):
            book.spare()  # so that every step has a key of its own
        desk.submit(Admit(book.order("cancel"), book.context()), answers.append)
    return answers


async def test_what_waits_is_decided_together(desk: Desk, committer: Committer) -> None:
    """As many as a transaction takes, in their order."""
    answers = submit(desk, b"a", b"b", b"c", b"d", b"e")
    assert desk.undecided == 5
    await desk.wait_quiet()
    assert committer.batches == [("fast", [b"a", b"b", b"c", b"d"]), ("fast", [b"e"])]
    assert answers == ["decided"] * 5


async def test_an_intent_and_a_key_come_once_in_a_batch(desk: Desk, committer: Committer) -> None:
    """Each step must see what the one before it has done."""
    submit(desk, b"a", b"a", b"b")
    await desk.wait_quiet()
    assert committer.batches == [("fast", [b"a", b"b"]), ("fast", [b"a"])]
    committer.batches.clear()
    first, second = step(b"c"), step(b"d")
    assert first.key == second.key
    for each in (first, second):
        desk.submit(each, lambda _answer: None)
    await desk.wait_quiet()
    assert committer.batches == [("fast", [b"c"]), ("fast", [b"d"])]


async def test_a_lock_is_waited_for_beside_the_others(desk: Desk, committer: Committer) -> None:
    """The slow lane waits; the fast one goes on."""
    committer.blocked = {b"a"}
    committer.may["slow"] = trio.Event()
    held = submit(desk, b"a")
    await trio.testing.wait_all_tasks_blocked()
    free = submit(desk, b"b")
    await trio.testing.wait_all_tasks_blocked()
    assert (held, free) == ([], ["decided"])
    assert desk.undecided == 1
    committer.may["slow"].set()
    await desk.wait_quiet()
    assert held == ["decided"]


async def test_locks_are_waited_for_a_few_at_a_time(desk: Desk, committer: Committer) -> None:
    """One lock delays at most so many others."""
    intents = [bytes([number]) for number in range(SLOW_BATCH_MAX + 4)]
    committer.blocked = set(intents)
    committer.may["slow"] = trio.Event()
    submit(desk, *intents)
    await trio.testing.wait_all_tasks_blocked()
    committer.may["slow"].set()
    await desk.wait_quiet()
    assert max(len(batch) for lane, batch in committer.batches if lane == "slow") <= SLOW_BATCH_MAX


async def test_a_step_at_fault_is_counted(
    desk: Desk, committer: Committer, counts: OperationCounts
) -> None:
    """The committer says so by `internal_error`; refusals are none."""
    committer.answer = Lost("use_refund")
    submit(desk, b"a")
    await desk.wait_quiet()
    assert counts.decisions_failed_total == 0
    committer.answer = Lost("internal_error")
    submit(desk, b"a")
    await desk.wait_quiet()
    assert counts.decisions_failed_total == 1


async def test_a_delivery_at_fault_is_nobody_elses(desk: Desk, counts: OperationCounts) -> None:
    """The next one hears its answer all the same."""

    def fail(_answer: Any) -> None:
        raise ValueError

    desk.submit(step(b"a"), fail)
    answers = submit(desk, b"b")
    await desk.wait_quiet()
    assert (answers, counts.errors_total) == (["decided"], 1)


async def test_the_mark_stays_below_what_may_be_written(desk: Desk, committer: Committer) -> None:
    """The lowest attempt of all steps, wherever they wait."""
    assert desk.lowest_attempt() is None
    committer.blocked = {b"a"}
    committer.may["slow"] = trio.Event()
    low = Book(intent_id=b"a")
    high = Book(intent_id=b"b")
    lowest, higher = low.context(), high.context()
    desk.submit(Admit(low.order("cancel"), lowest), lambda _answer: None)
    await trio.testing.wait_all_tasks_blocked()
    desk.submit(Admit(high.order("refund"), higher), lambda _answer: None)
    expected = min(lowest.spare.attempt_id, higher.spare.attempt_id)
    assert desk.lowest_attempt() == expected
    committer.may["slow"].set()
    await desk.wait_quiet()
    assert desk.lowest_attempt() is None


async def test_a_closed_desk_decides_what_waits(
    committer: Committer, counts: OperationCounts
) -> None:
    """And takes nothing more; it may be closed twice."""
    desk = make_desk(committer, counts)
    committer.blocked = {b"b"}
    answers = submit(desk, b"a", b"b")
    desk.close()
    desk.close()
    await desk.run()
    assert answers == ["decided"] * 2
    with pytest.raises(InboxClosedError):
        submit(desk, b"c")
    assert desk.undecided == 0


async def test_a_lost_lease_ends_the_desk(committer: Committer, counts: OperationCounts) -> None:
    """Nobody is told anything: another process decides."""
    desk = make_desk(committer, counts)
    committer.error = LeaseLostError("a newer epoch")
    answers = submit(desk, b"a")
    with pytest.raises(BaseExceptionGroup) as raised:
        await desk.run()
    assert raised.group_contains(LeaseLostError)
    assert answers == []


async def test_an_abandoned_desk_answers_what_waits_and_what_comes(
    committer: Committer, counts: OperationCounts
) -> None:
    """Each once: whoever submitted a step may hold something for it."""
    desk = make_desk(committer, counts)
    committer.may["fast"] = trio.Event()
    answers = submit(desk, b"a", b"b")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert answers == []
    desk.abandon()
    assert answers == [Lost(HANDED_BACK)] * 2
    assert submit(desk, b"c") == [Lost(HANDED_BACK)]
    assert desk.undecided == 0
