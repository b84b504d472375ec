"""Queries of many requests made one: a task per kind of query takes everything that waits.

While a query is under way the next batch gathers by itself (`chassis.stage`), so a quiet process
adds no delay and a busy one pays for the database once per batch. Whoever asks gives a function
that the result is delivered to, in the task of the stage; it must not raise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from api.errors import Problem, ProblemError
from chassis.log import get_logger
from chassis.stage import Inbox, InboxClosedError, InboxFullError, run_stage
from ledger.errors import ConnectionLostError, LedgerError, PoolOverloadError, RetryableError

Question = TypeVar("Question")
Result = TypeVar("Result")
Item = TypeVar("Item")

RETRY_AFTER_S: Final = 1
_TRANSIENT: Final = (RetryableError, ConnectionLostError, PoolOverloadError)

log = get_logger(__name__)


class Coalescer(Generic[Question, Result]):
    """One kind of query.

    Args:
        name: for logs and metrics.
        ask: answers a batch, in its order; what it raises becomes a problem for all of it.
        queue_max: questions waiting at most.
        batch_max: questions of one query at most.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[list[Question]], Awaitable[list[Result]]],
        *,
        queue_max: int,
        batch_max: int,
    ) -> None:
        self.name = name
        self.batches_total = 0
        self.questions_total = 0
        self.failed_batches_total = 0
        self._ask = ask
        self._batch_max = batch_max
        # A question and who waits for its result.
        self._inbox: Inbox[tuple[Question, Callable[[Result | Problem], None]]] = Inbox(
            queue_max, name=name
        )

    def submit(self, question: Question, deliver: Callable[[Result | Problem], None]) -> None:
        """Queue a question.

        Raises:
            ProblemError: `overloaded` or `shutting_down`; nothing will be delivered.
        """
        put(self._inbox, (question, deliver))

    async def run(self) -> None:
        """Answer until `close` and all is answered."""
        await run_stage(self._inbox, self._handle, batch_max=self._batch_max)

    def close(self) -> None:
        """Take no more questions."""
        self._inbox.close()

    async def _handle(
        self, batch: list[tuple[Question, Callable[[Result | Problem], None]]]
    ) -> None:
        self.batches_total += 1
        self.questions_total += len(batch)
        try:
            results = await self._ask([question for question, _deliver in batch])
        except LedgerError as error:
            self.failed_batches_total += 1
            problem = ledger_problem(error, self.name)
            for _question, deliver in batch:
                deliver(problem)
            return
        for (_question, deliver), result in zip(batch, results, strict=True):
            deliver(result)


def put(inbox: Inbox[Item], item: Item) -> None:
    """Put into an inbox that clients fill; raises ProblemError where there is no room."""
    try:
        inbox.put(item)
    except InboxFullError:
        raise ProblemError(Problem("overloaded", retry_after_s=RETRY_AFTER_S)) from None
    except InboxClosedError:
        raise ProblemError(Problem("shutting_down", retry_after_s=RETRY_AFTER_S)) from None


def ledger_problem(error: LedgerError, name: str) -> Problem:
    """What a client is told of a failed query: to come again, or that the fault is ours."""
    if isinstance(error, _TRANSIENT):
        log.warning("the ledger did not answer", query=name, reason=str(error))
        return Problem("ledger_unavailable", retry_after_s=RETRY_AFTER_S)
    log.error("a query failed", query=name, reason=str(error))
    return Problem("internal_error")
