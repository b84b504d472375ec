"""Questions gathered into queries."""

from __future__ import annotations

import pytest
import trio

from api.coalescing import Coalescer, ledger_problem
from api.errors import Problem, ProblemError
from ledger.errors import (
    ConnectionLostError,
    DatabaseError,
    LedgerError,
    PoolOverloadError,
    RetryableError,
)


class Oracle:
    """Answers with the square, when let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may = trio.Event()
        self.error: LedgerError | None = None

    async def ask(self, batch: list[int]) -> list[int]:
        """The squares of a batch."""
        self.batches.append(batch)
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return [number * number for number in batch]


async def test_what_waits_goes_together(nursery: trio.Nursery) -> None:
    """While one query is under way the next gathers; each gets its own answer."""
    oracle = Oracle()
    coalescer: Coalescer[int, int] = Coalescer("squares", oracle.ask, queue_max=10, batch_max=4)
    answers: dict[int, int | Problem] = {}
    nursery.start_soon(coalescer.run)
    for number in range(7):
        coalescer.submit(number, lambda answer, number=number: answers.update({number: answer}))
        if number == 0:
            await trio.testing.wait_all_tasks_blocked()
    oracle.may.set()
    await trio.testing.wait_all_tasks_blocked()
    assert oracle.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert answers == {number: number * number for number in range(7)}
    assert (coalescer.batches_total, coalescer.questions_total) == (3, 7)
    coalescer.close()


async def test_a_full_queue_and_a_closed_one_refuse() -> None:
    """The one who asks is told at once, and nothing is delivered."""
    coalescer: Coalescer[int, int] = Coalescer("squares", Oracle().ask, queue_max=1, batch_max=4)
    coalescer.submit(1, lambda _answer: None)
    with pytest.raises(ProblemError) as caught:
        coalescer.submit(2, lambda _answer: None)
    assert caught.value.problem.code == "overloaded"
    coalescer.close()
    with pytest.raises(ProblemError) as caught:
        coalescer.submit(3, lambda _answer: None)
    assert caught.value.problem.code == "shutting_down"


async def test_a_failed_query_is_told_to_its_batch_only(nursery: trio.Nursery) -> None:
    """All of the batch hear of it; the next batch is asked as if nothing had been."""
    oracle = Oracle()
    oracle.error = ConnectionLostError("gone")
    oracle.may.set()
    coalescer: Coalescer[int, int] = Coalescer("squares", oracle.ask, queue_max=10, batch_max=4)
    answers: list[int | Problem] = []
    nursery.start_soon(coalescer.run)
    coalescer.submit(2, answers.append)
    coalescer.submit(3, answers.append)
    await trio.testing.wait_all_tasks_blocked()
    oracle.error = None
    coalescer.submit(4, answers.append)
    await trio.testing.wait_all_tasks_blocked()
    assert answers == [Problem("ledger_unavailable", retry_after_s=1)] * 2 + [16]
    assert coalescer.failed_batches_total == 1
    coalescer.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RetryableError("x", sqlstate="40P01"), "ledger_unavailable"),
        (ConnectionLostError("x"), "ledger_unavailable"),
        (PoolOverloadError("x"), "ledger_unavailable"),
        (DatabaseError("x", sqlstate="42P01"), "internal_error"),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(error: LedgerError, code: str) -> None:
    """A missing table is our fault; a lost connection is worth another try."""
    assert ledger_problem(error, "squares").code == code
