"""Acknowledgments of advices that move no intent: completions and releases.

The charge that a completion belongs to has succeeded when it is sent, so its acknowledgment changes
nothing but the queue. It is recorded without the intent's lock: a batch of them takes one
statement, as cheap as the charges that caused it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct

from chassis.settings.tree import Ledger
from ledger.committing import Committer, HotSession
from ledger.connection import Connection
from ledger.leases import LeaseLostError
from ledger.pgtypes import int4_, int4_array, text_, text_array, timestamptz_array, uuid_array
from ledger.settlement import settlement_day
from ledger.statements import QUERIES

_HOLD_LEASE: Final = QUERIES["hold_lease"]
_ACKNOWLEDGE: Final = QUERIES["acknowledge_advices"]
_FIND: Final = QUERIES["find_acknowledged"]


class Acknowledgment(Struct, gc=False, frozen=True):
    """The network's final word on a completion or a release: it has taken it."""

    attempt_id: bytes
    intent_id: bytes
    response_code: str  # DE 39
    actor: str  # network:vsim
    at_us: int
    approval_code: str = ""  # DE 38
    settles_on: str = ""  # DE 15 with its year, YYYY-MM-DD


class CompletionCommitter(Committer[Acknowledgment, bool]):
    """Records batches of acknowledgments under one switch's lease; for one task.

    Args:
        connect: opens a session of role turnout_switch with `ledger.dsn.hot_settings`.
        owner: the switch's name, as its lease has it.
        epoch: of the lease this process holds.
        limits: waiting and repeating.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        owner: str,
        epoch: int,
        *,
        limits: Ledger,
    ) -> None:
        super().__init__(limits, patient=True)
        self._session = HotSession(connect)
        self._head = [text_(owner), int4_(epoch)]

    async def acknowledge(self, batch: Sequence[Acknowledgment]) -> list[bool]:
        """Commit a batch, however long it takes; whether each advice stands acknowledged.

        False is one that waits in no queue and has no outcome, or that the database refuses (a
        code that fits no column): it is not acknowledged, and will be sent again where it waits.

        Raises:
            LeaseLostError: another process has taken the switch over; nothing was recorded.
            DatabaseError: a fault of ours, such as a missing privilege.
        """
        return [bool(answer) for answer in await self._decide(batch)]

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.aclose()

    async def _once(self, rows: Sequence[Acknowledgment]) -> list[bool]:
        ordered = sorted(rows, key=lambda row: row.attempt_id)
        attempt_ids = uuid_array([row.attempt_id for row in ordered])
        params = [
            *self._head,
            attempt_ids,
            timestamptz_array([row.at_us for row in ordered]),
            text_array([row.actor for row in ordered]),
            text_array([row.response_code for row in ordered]),
            text_array([row.approval_code for row in ordered]),
            int4_array([settlement_day(row.settles_on) for row in ordered]),
        ]
        intent_ids = uuid_array([row.intent_id for row in ordered])
        leased, _, found = await self._session.pipeline(
            [
                (_HOLD_LEASE, self._head),
                (_ACKNOWLEDGE, params),
                (_FIND, [intent_ids, attempt_ids]),
            ]
        )
        if not leased.row_count:
            raise LeaseLostError
        acknowledged = set(found.column(0))
        return [row.attempt_id in acknowledged for row in rows]

    def _refuse(self, row: Acknowledgment) -> bool:  # noqa: ARG002  any row is refused alike
        return False
