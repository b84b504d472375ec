"""Commit 2: outcomes become durable before the merchant hears of them.

An outcome advances its intent by compare-and-set. One that comes too late, or second, writes
nothing and says where the intent stands. The committer waits for locks and repeats what it could
not run for as long as it takes: an outcome is a fact about money already moved, and no answer
leaves before it is recorded.

An intent that somebody sits on would hold up every outcome of its batch. So there are two ways:
`settle` waits for all of them, `settle_free` leaves out those whose intents are held, which are
then neither late nor lost but still to be settled, by another committer that may wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec.structs import astuple, replace

from chassis.settings.tree import Ledger
from ledger.committing import Committer, HotSession, held_intents
from ledger.connection import Connection, Step
from ledger.errors import ConnectionLostError, RetryableError
from ledger.leases import LeaseLostError
from ledger.lifecycle import CHARGE_SETTLEMENTS
from ledger.pgtypes import (
    int2_array,
    int4_,
    int4_array,
    int8_array,
    text_,
    text_array,
    timestamptz_array,
    uuid_,
    uuid_array,
)
from ledger.records import OutcomeToRecord, Settled
from ledger.settlement import further_steps, settlement_day
from ledger.statements import QUERIES
from ledger.verdicts import OutcomeFinding, outcome_verdict

_SETTLE: Final = QUERIES["settle_outcomes"]
_FINDINGS: Final = QUERIES["read_outcome_findings"]
STAND_IN_WINDOW_US: Final = 30_000_000  # as long as networks are asked about any doubt (money.md 6)
VERIFIED_INTENT: Final = "created"  # where a verification leaves its intent
_REFUSED: Final = Settled(advanced=False, version=0, intent_status="")

# One packer per field of OutcomeToRecord after its three ids, in the order of $8 to $20; what comes
# after them only some rows have.
_PACKERS: Final[tuple[Callable[[Sequence], bytes], ...]] = (  # type: ignore[type-arg]
    int2_array,
    *[text_array] * 7,  # result … actor
    uuid_array,
    timestamptz_array,
    *[text_array] * 2,
    int8_array,
)
_NO_DAYS: Final = int4_array([])
_NO_INSTANTS: Final = timestamptz_array([])


class OutcomeCommitter(Committer[OutcomeToRecord, Settled]):
    """Settles batches of outcomes under one switch's lease; for one task.

    Args:
        connect: opens a session of role turnout_switch with `ledger.dsn.hot_settings`.
        owner: the switch's name, as its lease has it.
        epoch: of the lease this process holds.
        limits: waiting and repeating.
        lock_timeout_ms: how long a statement waits for a lock, where not as `connect` says.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        owner: str,
        epoch: int,
        *,
        limits: Ledger,
        lock_timeout_ms: int | None = None,
    ) -> None:
        super().__init__(limits, patient=True)
        self._session = HotSession(connect, lock_timeout_ms=lock_timeout_ms)
        self._head = (text_(owner), int4_(epoch))

    async def settle(self, batch: Sequence[OutcomeToRecord]) -> list[Settled]:
        """Commit a batch, however long it takes; the results stand in its order.

        An outcome that the database refuses as such (a code that fits no column) is recorded as
        `unknown` instead, so that its attempt ends visibly; it counts as not advanced.

        Raises:
            ValueError: two outcomes of one intent in one batch.
            LeaseLostError: another process has taken the switch over; nothing was recorded.
            DatabaseError: a fault of ours, such as a missing privilege.
        """
        return [result for result in await self._settle(batch) if result is not None]

    async def settle_free(self, batch: Sequence[OutcomeToRecord]) -> list[Settled | None]:
        """Commit what no lock keeps from being committed; None is a row whose intent is held.

        It waits for a database that is away, as `settle` does, but not for locks, beyond the
        session's `lock_timeout`. Raises as `settle`.
        """
        return await self._settle(batch, leave_held=True)

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.aclose()

    async def _settle(
        self, batch: Sequence[OutcomeToRecord], *, leave_held: bool = False
    ) -> list[Settled | None]:
        if len({row.intent_id for row in batch}) < len(batch):
            raise ValueError("a batch holds at most one outcome of an intent")
        results = await self._decide(batch, leave_held=leave_held)
        refused = [
            place
            for place, result in enumerate(results)
            if result is _REFUSED and batch[place].phase == 1
        ]
        if refused:
            # These wait: a stand-in that is left undecided would come back as what it stands for.
            stand_ins = await self._decide([_as_unknown(batch[place]) for place in refused])
            for place, stand_in in zip(refused, stand_ins, strict=True):
                results[place] = stand_in and replace(stand_in, advanced=False)
        return results

    async def _once(self, rows: Sequence[OutcomeToRecord]) -> list[Settled | None]:
        ordered = sorted(rows, key=_intent_id)
        result = (await self._session.pipeline(self._steps(ordered)))[0]
        versions = dict(zip(result.column(0), result.column(1), strict=True))
        missing = [row for row in ordered if row.intent_id not in versions]
        others = await self._verdicts(missing) if missing else {}
        return [
            Settled(True, versions[row.intent_id], row.intent_to)
            if row.intent_id in versions
            else others[row.intent_id]
            for row in rows
        ]

    def _steps(self, ordered: Sequence[OutcomeToRecord]) -> list[Step]:
        """The statement of a batch in intent order, and those of what its rows bring with them."""
        attempt_ids, transaction_ids, intent_ids, *columns = zip(
            *map(astuple, ordered), strict=True
        )
        params = [
            *self._head,
            uuid_(intent_ids[0]),
            uuid_(intent_ids[-1]),
            uuid_array(intent_ids),
            uuid_array(attempt_ids),
            uuid_array(transaction_ids),
            *[pack(column) for pack, column in zip(_PACKERS, columns, strict=False)],
        ]
        phases, (settles_on, *brought) = columns[0], columns[len(_PACKERS) :]
        days, instants = _NO_DAYS, _NO_INSTANTS
        if any(settles_on):
            days = int4_array(list(map(settlement_day, settles_on)))
        if any(capture_before := brought[2]):
            instants = timestamptz_array([instant or None for instant in capture_before])
        steps: list[Step] = [(_SETTLE, [*params, days, instants])]
        if 2 in phases or any(map(any, brought)):
            steps += further_steps(ordered, self._head)
        return steps

    async def _verdicts(self, rows: Sequence[OutcomeToRecord]) -> dict[bytes, Settled | None]:
        params = [
            *self._head,
            uuid_array([row.intent_id for row in rows]),
            uuid_array([row.attempt_id for row in rows]),
            int2_array([row.phase for row in rows]),
        ]
        try:
            findings = (await self._session.run(_FINDINGS, params)).rows()
        except (RetryableError, ConnectionLostError):
            return dict.fromkeys(map(_intent_id, rows))
        if not findings[0][0]:
            raise LeaseLostError
        return {
            row.intent_id: outcome_verdict(
                row, OutcomeFinding(*found[1:]) if found[1] is not None else None
            )
            for row, found in zip(rows, findings, strict=True)
        }

    async def _held(self, rows: Sequence[OutcomeToRecord]) -> list[bool]:
        held = await held_intents(self._session, [row.intent_id for row in rows])
        return [row.intent_id in held for row in rows]

    def _refuse(self, row: OutcomeToRecord) -> Settled:  # noqa: ARG002  any row is refused alike
        return _REFUSED


def _as_unknown(row: OutcomeToRecord) -> OutcomeToRecord:
    """What is left of an outcome that cannot be stored: its attempt was made, and no more."""
    doubtful = replace(
        row,
        result="unknown",
        response_code="",
        approval_code="",
        decline_code="",
        advice="",
        approved_minor=0,
        actor="switch",
        settles_on="",
        capture_before_us=0,
        decline_class="",
        completion=None,
    )
    if row.intent_to == VERIFIED_INTENT:  # an account verification moved no money to be found
        return replace(doubtful, to_status="failed")
    to_status, intent_to = CHARGE_SETTLEMENTS["unknown"]
    return replace(
        doubtful,
        to_status=to_status,
        intent_to=intent_to,
        verify_at_us=row.at_us,
        verify_until_us=row.at_us + STAND_IN_WINDOW_US,
    )


def _intent_id(row: OutcomeToRecord) -> bytes:
    return row.intent_id
