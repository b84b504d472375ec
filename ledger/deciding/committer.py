"""Locked decisions: intents are locked, read, decided on and written in one transaction.

Theory of operation
-------------------
Whatever follows a charge, or is done about one in doubt, depends on all that happened to its intent
so far. So a batch of steps, one an intent, takes two round trips:

1. BEGIN; hold the lease (FOR KEY SHARE, so a takeover waits for us); lock the intents in id order;
   read transactions, attempts, queues and idempotency keys. Each statement has its own snapshot,
   taken when the locks are held: what was read cannot change before we are done.
2. A pure function decides each intent (`Step.decide`); the rows of all plans; COMMIT.

*Nothing is decided on a guess.* A transaction that could not run, or whose fate nobody knows, is
run again whole: locks anew, views anew, decisions anew. An earlier run that was committed after all
shows in the views as rows with the step's own ids, and the step finds itself done. While the old
server process lives it holds the locks, which the repeat waits for; once they are free, what the
views show is final (money.md 4). One that does not learn that we are gone is ended by the server's
`idle_in_transaction_session_timeout`.

*A lock that somebody sits on* delays its own step only: both lanes wait for locks, the fast one
hardly at all, and go on without the rows that are held (`ledger.committing`). The fast lane gives
`BLOCKED` for them: hand those steps to the slow lane, which decides each of them alone. Only a
merchant's request, which is a step with an idempotency key, is refused when the wait becomes too
long, and only while it is known to hold nothing; whatever must happen waits for ever.

*A fault of one step is its own*: a plan against the rules, or rows that the database refuses.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

import trio
from msgspec import Struct

from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.committing import Committer, HotSession, held_intents
from ledger.connection import Connection
from ledger.connection import Step as Statement
from ledger.deciding.checks import PlanError, check_plan
from ledger.deciding.records import IntentView, Step
from ledger.deciding.views import Key, keys_of, locking_steps, views_of, with_key
from ledger.deciding.writing import Writer
from ledger.errors import DatabaseError, RetryableError, RowError
from ledger.leases import LeaseLostError
from ledger.pgtypes import int4_, text_
from ledger.records import Lost
from ledger.statements import QUERIES

Lane = Literal["fast", "slow"]

UNIQUE_VIOLATION: Final = "23505"
INVALID_VALUE: Final = "22023"

_BEGIN: Final[Statement] = (QUERIES["begin_decision"], [])
_COMMIT: Final[Statement] = (QUERIES["commit_decision"], [])
_ABANDON: Final = QUERIES["abandon_decision"]
_HOLD_LEASE: Final = QUERIES["hold_lease"]
_KEYS: Final = QUERIES["insert_plan_keys"]

_log = get_logger(__name__)


class Blocked:
    """What the fast lane answers for a step that it left undecided."""

    def __repr__(self) -> str:
        return "BLOCKED"


BLOCKED: Final = Blocked()


class _Decided(Struct, frozen=True):
    value: Any


class DecisionCommitter:
    """Decides batches of steps under one switch's lease; each lane is for one task at a time.

    Args:
        connect: opens a session of role turnout_switch with `ledger.dsn.hot_settings`.
        owner: the switch's name, as its lease has it.
        epoch: of the lease this process holds.
        limits: waiting and repeating.

    Attributes:
        lanes: by name, with counts for metrics (`repeats`, `poisoned`, `faults`).
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        owner: str,
        epoch: int,
        *,
        limits: Ledger,
    ) -> None:
        in_doubt: set[bytes] = set()
        impatient = HotSession(connect, lock_timeout_ms=limits.fast_lock_timeout_ms)
        self.lanes = {
            "fast": _DecisionLane(impatient, owner, epoch, in_doubt, limits, leave_held=True),
            "slow": _DecisionLane(
                HotSession(connect), owner, epoch, in_doubt, limits, leave_held=False
            ),
        }

    async def run(self, steps: Sequence[Step], *, lane: Lane = "slow") -> list[Any]:
        """Decide a batch; the answers stand in its order.

        An answer is `Lost` as the step said it, or the `value` of its plan, which is durable then.
        `Lost("internal_error")` is a step that is at fault itself. The slow lane answers when every
        step is decided; in the fast lane one whose intent is held by somebody is `BLOCKED` instead.

        Raises:
            ValueError: two steps of one intent, or of one key, in one batch.
            LeaseLostError: another process has taken the switch over; nothing was written.
            DatabaseError: a fault of ours, such as a missing privilege.
        """
        _check_distinct(steps)
        return await self.lanes[lane].run(steps)

    async def aclose(self) -> None:
        """Close both sessions."""
        for lane in self.lanes.values():
            await lane.session.aclose()


class _DecisionLane(Committer[Step, _Decided]):
    def __init__(
        self,
        session: HotSession,
        owner: str,
        epoch: int,
        in_doubt: set[bytes],
        limits: Ledger,
        *,
        leave_held: bool,
    ) -> None:
        super().__init__(limits, patient=True)
        self.session = session
        self.faults = 0  # for metrics: steps that failed, or planned against the rules
        self._owner = owner
        self._epoch = epoch
        self._leave_held = leave_held
        self._in_doubt = in_doubt  # intents of steps that may have been committed

    async def run(self, steps: Sequence[Step]) -> list[Any]:
        answers = await self._decide(steps, leave_held=self._leave_held)
        if self._in_doubt:
            self._in_doubt.difference_update(
                step.intent_id
                for step, answer in zip(steps, answers, strict=True)
                if answer is not None
            )
        return [BLOCKED if answer is None else answer.value for answer in answers]

    async def _once(self, rows: Sequence[Step]) -> Sequence[_Decided | None]:
        # Between its two round trips a transaction holds locks: nothing may cancel it there.
        with trio.CancelScope(shield=True):
            try:
                answers = await self._transaction(rows)
            except (RetryableError, RowError) as error:
                await self._abandon()
                if error.sqlstate == UNIQUE_VIOLATION and error.query == _KEYS.name:
                    # Somebody took the key since we looked: look again.
                    raise RetryableError(str(error), sqlstate=error.sqlstate) from None
                raise
            except BaseException:
                await self.session.aclose()
                raise
        return answers

    async def _transaction(self, rows: Sequence[Step]) -> list[_Decided]:
        views = await self._locked_views(rows)
        writer = Writer(self._owner, self._epoch)
        answers = [self._answer(step, views.get(step.intent_id), writer) for step in rows]
        try:
            writes = writer.steps()
        except (AttributeError, TypeError, ValueError, struct.error) as error:
            # Some field is of no type that its column takes: the batch is halved to find the step.
            raise RowError(f"{type(error).__name__} in packing", sqlstate=INVALID_VALUE) from error
        if writes:
            await self.session.pipeline([*writes, _COMMIT])
        else:
            await self._abandon()  # a commit would wait for the disk
        return [_Decided(answer) for answer in answers]

    async def _locked_views(self, rows: Sequence[Step]) -> dict[bytes, IntentView]:
        """Begin, lock and read."""
        keys: list[Key] = [step.key for step in rows if step.key is not None]
        lease = (_HOLD_LEASE, [text_(self._owner), int4_(self._epoch)])
        reads = locking_steps(sorted(step.intent_id for step in rows), keys)
        _, leased, *results = await self.session.pipeline([_BEGIN, lease, *reads])
        if not leased.row_count:
            raise LeaseLostError
        views = views_of(results)
        found = keys_of(results, keys)
        for step in rows:
            if step.key in found and step.intent_id in views:
                views[step.intent_id] = with_key(views[step.intent_id], found[step.key])
        return views

    def _answer(self, step: Step, view: IntentView | None, writer: Writer) -> Any:
        """Decide one step and take its rows; whatever goes wrong here is that step's own."""
        try:
            plan = step.decide(view)
            if isinstance(plan, Lost):
                return plan
            check_plan(view, plan, step.key)
            if view is not None:
                writer.add(view, plan)
        except Exception as error:  # noqa: BLE001  one step's fault is its own (design 3)
            self.faults += 1
            _log.error(
                "decision_failed",
                step=type(step).__name__,
                error=type(error).__name__,
                rule=str(error) if isinstance(error, PlanError) else "",
            )
            return Lost("internal_error")
        return plan.value

    async def _abandon(self) -> None:
        """Roll back and let go of the locks; a session that cannot is closed, which does both."""
        try:
            await self.session.run(_ABANDON, [])
        except DatabaseError:
            await self.session.aclose()

    async def _held(self, rows: Sequence[Step]) -> list[bool]:
        held = await held_intents(self.session, [step.intent_id for step in rows])
        return [step.intent_id in held for step in rows]

    def _refuse(self, row: Step) -> _Decided:  # noqa: ARG002  any row is refused alike
        return _Decided(Lost("internal_error"))

    def _give_up(self, row: Step) -> _Decided | None:
        """Somebody sits on the intent; a request known to hold nothing hears that it is in use."""
        if row.key is None or row.intent_id in self._in_doubt:
            return None
        return _Decided(Lost("operation_in_progress"))

    def _note_unknown_fate(self, rows: Sequence[Step]) -> None:
        self._in_doubt.update(step.intent_id for step in rows)


def _check_distinct(steps: Sequence[Step]) -> None:
    if len({step.intent_id for step in steps}) < len(steps):
        raise ValueError("a batch holds at most one step of an intent")
    keys = [step.key for step in steps if step.key is not None]
    if len(set(keys)) < len(keys):
        raise ValueError("a batch holds at most one step of an idempotency key")
