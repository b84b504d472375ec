"""Reads from a replica are as new as the question, or come from the primary.

Replay is held up by `pg_wal_replay_pause()`, so the replica is old for as long as a test likes.
`stale_reader` reads from it without asking how far it is: what one would see without our care.
"""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
from attrs import define

from chassis.settings.replica import Replica
from ledger.connection import Connection, Params, Step
from ledger.queries import Query
from ledger.replica import FreshReader, ReplicaSessions
from ledger.replica.freshness import IN_RECOVERY, READ_INDEX
from ledger.result import Result
from ledger.roles import API
from ledger.statements import Runner
from tests.support.postgres import TEST_SETTINGS, open_folder
from tests.support.replica import Replicated, replicated

LIMITS = Replica(sessions=2, wait_ms=300.0, answer_timeout_s=0.4, rest_s=0.8)
PATIENT = Replica(sessions=2, wait_ms=10_000.0, answer_timeout_s=10.0)  # on a busy machine, too
BUSY_S = 2.0  # that a machine with others' work may take longer
READ = Query("read_count", "SELECT n FROM counted")
COUNT_UP = Query("count_up", "UPDATE counted SET n = n + 1 RETURNING n")
SLOW_S = 0.15
SLOW_READ = Query("read_slowly", f"SELECT n, pg_sleep({SLOW_S})::text FROM counted")
ROUNDS = 150
ASLEEP = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
# Of a reader who has been told once what he saw, and how far the replica was then.
HAS_ASKED = (
    "SELECT pid FROM pg_stat_activity WHERE usename = 'turnout_api' AND state = 'idle'"
    f" AND query = '{IN_RECOVERY.sql}'"
)
PAUSE, RESUME = "SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A folder with a ledger and its replica, both stopped."""
    with open_folder() as folder:
        trio.run(make_cluster, folder)
        yield folder


async def make_cluster(folder: Path) -> None:
    """One row that counts up."""
    async with replicated(folder) as pair:
        await pair.do("CREATE TABLE counted AS SELECT 0 AS n; GRANT ALL ON counted TO turnout_api")
        await pair.bring_up()


@pytest.fixture
async def pair(cluster: Path) -> AsyncIterator[Replicated]:
    """Both, running."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        yield pair


@asynccontextmanager
async def reading(
    pair: Replicated, limits: Replica = LIMITS
) -> AsyncIterator[tuple[FreshReader, Connection]]:
    """A reader as the api has one, and the session of the primary that it asks and writes with."""
    primary = await Connection.open(pair(API), connect_timeout_s=5)
    settings = msgspec.structs.replace(TEST_SETTINGS, reconnect_min_s=0.005, reconnect_max_s=0.02)
    sessions = ReplicaSessions(pair.reads(), settings, limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.serve)
        with trio.fail_after(30):
            while sessions.open_count < limits.sessions:
                await trio.sleep(0.005)
        yield FreshReader(primary, sessions, wait_s=limits.wait_ms / 1_000), primary
        nursery.cancel_scope.cancel()
    await primary.aclose()


async def count_up(primary: Connection) -> int:
    """Write, and have it answered: from now on nobody may see less."""
    return int((await primary.run(COUNT_UP)).column(0)[0])


async def seen(reader: Runner) -> int:
    """What a reader sees."""
    return int((await reader.run(READ)).column(0)[0])


async def stale_rounds(reader: Runner, primary: Connection) -> int:
    """How many of many reads were older than the write answered just before: the checker."""
    stale = 0
    for _ in range(ROUNDS):
        written = await count_up(primary)
        stale += await seen(reader) < written
    return stale


async def test_no_read_is_older_than_the_write_before_it(pair: Replicated) -> None:
    """Write, read, write, read: on the replica, which is behind each time without the wait.

    The planted reader shows that the checker sees it.
    """
    async with reading(pair, PATIENT) as (reader, primary):
        assert await stale_rounds(reader, primary) == 0
        assert reader.counts.reads_total == ROUNDS
        stale_reader = await Connection.open(pair.reads(), connect_timeout_s=5)
        await pair.do(PAUSE, on_replica=True)
        assert await stale_rounds(stale_reader, primary) == ROUNDS
        await pair.do(RESUME, on_replica=True)
        await stale_reader.aclose()


async def test_the_rows_are_read_after_it_was_asked_how_far_it_is(pair: Replicated) -> None:
    """Replay goes on in the middle of a slow read: what was read before is not taken for new."""
    async with reading(pair, PATIENT) as (reader, primary), trio.open_nursery() as nursery:
        await pair.do(PAUSE, on_replica=True)
        written = await count_up(primary)
        nursery.start_soon(resume_once, pair, ASLEEP)
        assert (await reader.run(SLOW_READ)).column(0) == [written]
        assert (reader.counts.waits_total, reader.counts.reads_total) == (1, 1)


async def resume_once(pair: Replicated, sign: str) -> None:
    """Let the replica replay again as soon as a query on it finds what is waited for."""
    async with pair.superuser(on_replica=True) as session:
        query = Query("sign", sign)
        with trio.fail_after(30):
            while not (await session.run(query)).row_count:
                await trio.sleep(0.005)
        await session.script(RESUME)


async def test_one_that_is_behind_is_waited_for(pair: Replicated) -> None:
    """It catches up within its time, and answers."""
    async with reading(pair, PATIENT) as (reader, primary), trio.open_nursery() as nursery:
        await pair.do(PAUSE, on_replica=True)
        written = await count_up(primary)
        nursery.start_soon(resume_once, pair, HAS_ASKED)
        assert await seen(reader) == written
        assert (reader.counts.waits_total, reader.counts.reads_total) == (1, 1)


async def test_one_that_stays_behind_is_waited_for_no_longer(pair: Replicated) -> None:
    """The primary answers, and the replica rests; then it is asked again."""
    async with reading(pair) as (reader, primary):
        await pair.do(PAUSE, on_replica=True)
        written = await count_up(primary)
        with trio.fail_after(LIMITS.wait_ms / 1_000 + BUSY_S):
            assert await seen(reader) == written
        counts = reader.counts
        assert (counts.behind_total, counts.away_total, counts.waits_total) == (1, 0, 0)
        assert await seen(reader) == written
        assert reader.counts.away_total == 1
        await pair.do(RESUME, on_replica=True)
        with trio.fail_after(30):
            while not reader.counts.reads_total:
                assert await seen(reader) == written
                await trio.sleep(0.01)


async def test_one_that_hangs_costs_a_reader_its_patience_once(pair: Replicated) -> None:
    """A stopped server does not answer; its session is closed and the primary asked."""
    async with reading(pair) as (reader, primary):
        written = await count_up(primary)
        backends = [pid for (pid,) in await pair.ask(BACKENDS, on_replica=True)]
        for process_id in backends:
            os.kill(process_id, signal.SIGSTOP)
        try:
            with trio.fail_after(LIMITS.answer_timeout_s + BUSY_S):
                assert await seen(reader) == written
            assert (reader.counts.lost_total, reader.counts.away_total) == (1, 0)
            assert await seen(reader) == written
            assert (reader.counts.lost_total, reader.counts.away_total) == (1, 1)
        finally:
            for process_id in backends:
                os.kill(process_id, signal.SIGCONT)


async def test_one_that_takes_too_long_is_heard_no_further(pair: Replicated) -> None:
    """The query ends where it runs, and does not go on there for a reader who has left."""
    async with reading(pair) as (reader, _):
        slow_there = Query(
            "slow_there",
            "SELECT CASE WHEN pg_is_in_recovery() THEN pg_sleep(60)::text ELSE 'primary' END",
        )
        with trio.fail_after(LIMITS.answer_timeout_s + BUSY_S):
            assert (await reader.run(slow_there)).column(0) == ["primary"]
        assert (reader.counts.lost_total, reader.sessions.open_count) == (1, LIMITS.sessions)
        assert await pair.ask(ASLEEP, on_replica=True) == []
        assert await seen(reader) >= 0
        assert reader.counts.away_total == 1  # it rests


BACKENDS = "SELECT pid FROM pg_stat_activity WHERE usename = 'turnout_api'"


async def test_a_killed_one_is_read_again_when_it_is_back(pair: Replicated) -> None:
    """Meanwhile the primary answers, and nobody sees an error."""
    async with reading(pair) as (reader, primary):
        assert pair.replica.process_id is not None
        os.kill(pair.replica.process_id, signal.SIGKILL)
        assert await stale_rounds(reader, primary) == 0
        await pair.replica.died()
        assert await pair.bring_up() == []
        on_replica = reader.counts.reads_total
        with trio.fail_after(30):
            while reader.counts.reads_total == on_replica:
                assert await seen(reader) == await seen(primary)
                await trio.sleep(0.01)


async def test_what_only_a_primary_can_answer_it_answers(pair: Replicated) -> None:
    """A query that the replica refuses is no error to whoever asked."""
    async with reading(pair) as (reader, _):
        only_there = Query("only_there", "SELECT pg_current_wal_lsn() IS NOT NULL")
        assert (await reader.run(only_there)).column(0) == [True]
        assert reader.counts.refused_total == 1


async def test_a_promoted_one_is_read_no_more(cluster: Path) -> None:
    """It takes writes of its own, which are of no ledger."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        async with reading(pair) as (reader, primary):
            await pair.ask("SELECT pg_promote()", on_replica=True)
            await pair.do("UPDATE counted SET n = -1", on_replica=True)
            assert await seen(reader) >= 0
            assert await seen(primary) >= 0
            assert reader.counts.promoted_total + reader.counts.lost_total == 1
            await trio.sleep(LIMITS.rest_s)
            with trio.fail_after(30):
                while not reader.counts.promoted_total:
                    assert await seen(reader) >= 0
                    await trio.sleep(0.02)
        await pair.replica.stop()
        (cluster / "data" / "replica.boot").unlink()


async def test_one_of_another_history_is_read_no_more(pair: Replicated) -> None:
    """A ledger that was restored goes on as another timeline, where positions mean other things."""
    async with reading(pair) as (before, primary):
        reader = FreshReader(_OtherTimeline(primary), before.sessions, wait_s=0.1)
        assert await seen(reader) == await seen(primary)
        assert reader.counts.stranger_total == 1


async def test_one_that_has_more_than_its_primary_is_read_no_more(pair: Replicated) -> None:
    """A ledger that was set back to a snapshot: the replica shows what was lost."""
    async with reading(pair) as (before, primary):
        await pair.catch_up()
        reader = FreshReader(_SetBack(primary), before.sessions, wait_s=0.1)
        assert await seen(reader) == await seen(primary)
        assert reader.counts.stranger_total == 1


async def test_a_primary_that_writes_meanwhile_is_not_taken_for_another(pair: Replicated) -> None:
    """The replica is ahead of what was said first, and not of what is said then."""
    async with reading(pair, PATIENT) as (before, primary):
        await pair.catch_up()
        reader = FreshReader(_SetBack(primary, times=1), before.sessions, wait_s=0.1)
        assert await seen(reader) == await seen(primary)
        assert (reader.counts.reads_total, reader.counts.stranger_total) == (1, 0)


@define
class _Primary(ABC):
    """A primary that tells another read index than its own."""

    primary: Connection
    times: int = 1_000

    @abstractmethod
    def told(self, sql: str) -> str:
        """What is asked instead."""

    async def run(self, query: Query, params: Params = ()) -> Result:
        """Run a query; so many times the read index is another."""
        if query is READ_INDEX and self.times > 0:
            self.times -= 1
            query = Query(f"told_{self.times}", self.told(query.sql))
        return await self.primary.run(query, params)

    async def pipeline(self, steps: Sequence[Step]) -> list[Result]:
        """Run queries as they are."""
        return await self.primary.pipeline(steps)


class _OtherTimeline(_Primary):
    """It has been restored meanwhile, and is one timeline further."""

    def told(self, sql: str) -> str:
        """The next timeline."""
        columns, origin, table = sql.partition(" FROM ")
        return f"{columns} + 1{origin}{table}"


class _SetBack(_Primary):
    """It is set back by a byte, on the same timeline."""

    def told(self, sql: str) -> str:
        """A position less far; commits that were answered are below it in any case."""
        return sql.replace("(f.lsn - '0/0')::bigint", "(f.lsn - '0/0')::bigint - 1")
