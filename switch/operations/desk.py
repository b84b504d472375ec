"""Batches of decisions in the name of one switch.

A desk belongs to a responsibility: what it writes carries that switch's name and epoch. Steps wait
in its inbox; one task takes what waits, at most one step of an intent and of a key at a time, and
hands the answers to whoever submitted them. A step whose intent somebody sits on goes to a second
task, so that the others need not wait. The order of steps about one intent does not matter: each
sees in its view what the others have done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
import trio

from chassis.crash_points import AFTER_DECISION, BEFORE_DECISION, reach
from chassis.log import get_logger
from chassis.stage import Inbox
from ledger.deciding.committer import BLOCKED, Lane
from ledger.records import Lost
from switch.core.operations.steps import About, Admit
from switch.operations.errands import OperationCounts
from switch.pipeline.anomalies import Anomalies

log = get_logger(__name__)
HANDED_BACK = "handed_back"  # what steps are answered that somebody else decides now
SLOW_BATCH_MAX = 16  # steps that wait for locks together: few, so that one lock delays few

AnyStep = Admit | About
Deliver = Callable[[Any], None]


class Committer(Protocol):
    """What a desk needs of `ledger.deciding.committer.DecisionCommitter`."""

    async def run(self, steps: Sequence[Any], *, lane: Lane) -> list[Any]:
        """Decide a batch."""


@attrs.frozen(eq=False)
class _Decision:
    step: AnyStep
    deliver: Deliver


class Desk:
    """The decisions of one responsibility.

    Args:
        owner: the switch in whose name it decides.
        committer: of this desk alone.
        take_ids: draws ids of that switch's.
        batch_max: steps a transaction.
        waiting_max: steps that may wait; more are a fault.
        counts: all operations'.
        anomalies: the process's.
    """

    def __init__(
        self,
        owner: str,
        *,
        committer: Committer,
        take_ids: Callable[[int], list[bytes]],
        batch_max: int,
        waiting_max: int,
        counts: OperationCounts,
        anomalies: Anomalies,
    ) -> None:
        self.owner = owner
        self.take_ids = take_ids
        self._committer = committer
        self._batch_max = batch_max
        self._counts = counts
        self._anomalies = anomalies
        self._fast: Inbox[_Decision] = Inbox(waiting_max, name="decisions")
        self._slow: Inbox[_Decision] = Inbox(waiting_max, name="decisions_slow")
        self._pending: dict[int, _Decision] = {}
        self._quiet = trio.lowlevel.ParkingLot()
        self._abandoned = False

    @property
    def inboxes(self) -> tuple[Inbox[_Decision], Inbox[_Decision]]:
        """For the metrics: what waits."""
        return self._fast, self._slow

    @property
    def undecided(self) -> int:
        """Steps that were submitted and not yet answered."""
        return len(self._pending)

    def submit(self, step: AnyStep, deliver: Deliver) -> None:
        """Have a step decided; `deliver` gets its answer once that is durable, and must be quick.

        The answer is the value of its plan, or `Lost`.

        Raises:
            InboxFullError: more waits than admission and windows let in: a fault of ours.
            InboxClosedError: the desk is closed.
        """
        decision = _Decision(step, deliver)
        if not self._abandoned:
            self._fast.put(decision)
        self._pending[id(decision)] = decision
        if self._abandoned:
            self._deliver(decision, Lost(HANDED_BACK))

    def lowest_attempt(self) -> bytes | None:
        """The lowest attempt id that a decision may be about to write, if there is any."""
        ids = [each.step.context.spare.attempt_id for each in self._pending.values()]
        return min(ids, default=None)

    async def wait_quiet(self) -> None:
        """Wait until every submitted step has been answered."""
        while self._pending:
            await self._quiet.park()

    async def run(self) -> None:
        """Decide until closed and empty.

        Raises:
            LeaseLostError: another process has taken the switch over.
            DatabaseError: a fault of ours, such as a missing privilege.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_slow)
            while batch := await self._fast.take(self._batch_max):
                await self._decide(batch, "fast")
            self._slow.close()

    def close(self) -> None:
        """Take no more steps; what waits is decided. Idempotent."""
        self._fast.close()

    def abandon(self) -> None:
        """Answer every step `Lost`, those that come later too: somebody else decides them now.

        Whoever submitted one holds a window slot or a card for it. What was just being committed
        may stand; whoever is responsible now finds it.
        """
        self._abandoned = True
        for decision in list(self._pending.values()):
            self._deliver(decision, Lost(HANDED_BACK))

    async def _run_slow(self) -> None:
        while batch := await self._slow.take(SLOW_BATCH_MAX):
            await self._decide(batch, "slow")

    async def _decide(self, batch: list[_Decision], lane: Lane) -> None:
        rest = batch
        while rest:
            ready, rest = _distinct(rest)
            reach(BEFORE_DECISION)
            answers = await self._committer.run([each.step for each in ready], lane=lane)
            reach(AFTER_DECISION)
            for decision, answer in zip(ready, answers, strict=True):
                if answer is BLOCKED:
                    self._slow.put(decision)
                else:
                    self._deliver(decision, answer)

    def _deliver(self, decision: _Decision, answer: Any) -> None:
        del self._pending[id(decision)]
        if isinstance(answer, Lost) and answer.code == "internal_error":
            self._counts.decisions_failed_total += 1
        try:
            decision.deliver(answer)
        except Exception as error:  # noqa: BLE001  one step's fault is its own (design 3)
            self._counts.errors_total += 1
            self._anomalies.tell(
                log.error,
                "decision_not_delivered",
                step=type(decision.step).__name__,
                error=type(error).__name__,
            )
        if not self._pending:
            self._quiet.unpark_all()


def _distinct(batch: Sequence[_Decision]) -> tuple[list[_Decision], list[_Decision]]:
    """The first step of each intent and key, and the rest; both keep their order."""
    taken: set[Any] = set()
    ready: list[_Decision] = []
    rest: list[_Decision] = []
    for decision in batch:
        names = {decision.step.intent_id, decision.step.key} - {None}
        if names & taken:
            rest.append(decision)
        else:
            ready.append(decision)
            taken |= names
    return ready, rest
