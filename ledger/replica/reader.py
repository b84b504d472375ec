"""Runs queries on a replica, and on the primary where the replica's answer would not do.

`ledger.replica.freshness` says what makes an answer good enough, and why. Whoever reads through a
`FreshReader` sees every write that was answered before the read was asked for, and needs to know
nothing of replicas: it runs queries as a pool does.

The price is one small statement on the primary for each batch of reads, another one where it has
written meanwhile, and a wait for the replica where it has not replayed that far yet: a millisecond
on one machine. It is bounded by `replica.wait_ms`; then the primary answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import trio
from attrs import define

from ledger.connection import Connection, Params, Step
from ledger.errors import ConnectionLostError, DatabaseError
from ledger.queries import Query
from ledger.replica.freshness import (
    IN_RECOVERY,
    READ_INDEX,
    REPLAYED,
    ReadIndex,
    Replayed,
    Standing,
    judge,
    judge_ahead,
)
from ledger.replica.sessions import ReplicaSessions
from ledger.result import Result
from ledger.statements import Runner

QUERY_CANCELED: Final = "57014"  # by statement_timeout
POLL_MIN_S: Final = 0.0005  # between questions how far a replica is that is behind; doubles
POLL_MAX_S: Final = 0.004


@define
class ReplicaCounts:
    """Batches of reads by where they were answered, and why there.

    Attributes:
        reads_total: on the replica.
        waits_total: of these, those that it had to catch up for first.
        away_total: on the primary: no session was idle, or the replica rested.
        behind_total: on the primary: it did not catch up in time.
        lost_total: on the primary: it did not answer.
        refused_total: on the primary: it ended the query, because replay could not wait for it.
        promoted_total: on the primary: it is a replica no more.
        stranger_total: on the primary: its history is another.
    """

    reads_total: int = 0
    waits_total: int = 0
    away_total: int = 0
    behind_total: int = 0
    lost_total: int = 0
    refused_total: int = 0
    promoted_total: int = 0
    stranger_total: int = 0


class FreshReader:
    """Reads that are never older than the last write; a `Runner` for queries that only read.

    Args:
        primary: where the read index comes from, and every answer that the replica cannot give.
        sessions: on the replica.
        wait_s: for a replica that is behind.

    Attributes:
        counts: what became of the reads.
        sessions: as given.
    """

    def __init__(self, primary: Runner, sessions: ReplicaSessions, *, wait_s: float) -> None:
        self.counts = ReplicaCounts()
        self.sessions = sessions
        self._primary = primary
        self._wait_s = wait_s

    async def run(self, query: Query, params: Params = ()) -> Result:
        """Run one query; raises as the primary's runner does."""
        return (await self.pipeline(((query, params),)))[0]

    async def pipeline(self, steps: Sequence[Step]) -> list[Result]:
        """Run several queries, each with a snapshot of its own; raises as the primary's does."""
        session = self.sessions.borrow(trio.current_time())
        if session is None:
            self.counts.away_total += 1
            return await self._primary.pipeline(steps)
        try:
            results = await self._read(session, steps)
        finally:
            self.sessions.give_back(session)
        return await self._primary.pipeline(steps) if results is None else results

    async def _read(self, session: Connection, steps: Sequence[Step]) -> list[Result] | None:
        """What the replica says, or None where that is not good enough."""
        index = await self._read_index()
        deadline_s = trio.current_time() + self._wait_s
        try:
            answer = await _ask(session, index, steps)
            waited = answer.standing is Standing.BEHIND
            if waited:
                await _catch_up(session, index, deadline_s)
                answer = await _ask(session, index, steps)
        except ConnectionLostError as error:
            self.counts.lost_total += 1
            self.sessions.rest(str(error), trio.current_time())
            return None
        except DatabaseError as error:
            if error.sqlstate == QUERY_CANCELED:  # it took too long
                self.counts.lost_total += 1
                self.sessions.rest(str(error), trio.current_time())
            else:  # a conflict with replay; any other fault the primary will tell, too
                self.counts.refused_total += 1
            return None
        standing = answer.standing
        if standing is Standing.AHEAD:
            standing = judge_ahead(await self._read_index(), answer.replayed)
        if standing is not Standing.CURRENT:
            self._count(standing)
            self.sessions.rest(f"it {standing.value}", trio.current_time())
            return None
        self.counts.reads_total += 1
        self.counts.waits_total += waited
        self.sessions.well(trio.current_time())
        return answer.results

    async def _read_index(self) -> ReadIndex:
        [row] = (await self._primary.run(READ_INDEX)).rows()
        return ReadIndex(*row)

    def _count(self, standing: Standing) -> None:
        name = f"{standing.name.lower()}_total"
        setattr(self.counts, name, getattr(self.counts, name) + 1)


class _Answer(NamedTuple):
    """What the replica says: rows, and what they are worth."""

    standing: Standing
    replayed: Replayed
    results: list[Result]


async def _ask(session: Connection, index: ReadIndex, steps: Sequence[Step]) -> _Answer:
    """Ask for rows; the order of the statements is the proof's."""
    before, *results, after = await session.pipeline([(REPLAYED, ()), *steps, (IN_RECOVERY, ())])
    [row] = before.rows()
    [in_recovery] = after.column(0)
    replayed = Replayed(*row)
    return _Answer(judge(index, replayed, in_recovery=in_recovery), replayed, results)


async def _catch_up(session: Connection, index: ReadIndex, deadline_s: float) -> None:
    """Wait until a replica has replayed far enough, or the time is up; reads no rows meanwhile."""
    pause_s = POLL_MIN_S
    while trio.current_time() + pause_s < deadline_s:
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, POLL_MAX_S)
        if (await _ask(session, index, ())).standing is not Standing.BEHIND:
            return
