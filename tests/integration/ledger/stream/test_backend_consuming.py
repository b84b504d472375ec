"""Consumer groups: each event has its effect once, whatever breaks, dies, or is repeated."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.errors import DatabaseError
from ledger.operators import OperatorError
from ledger.pool import Pool
from ledger.queries import Query
from ledger.stream.backend import Batch
from ledger.stream.consumer import ConsumerRunner, ConsumerStoppedError
from ledger.stream.cursors import begin_cursor, read_cursor, reset_cursor, reset_cursors
from ledger.stream.parking import ask_for_retry, list_parked
from ledger.stream.record import REPAIR, Mark
from tests.support.consuming import GRANT, GROUP, LIMITS, TABLE, EffectsConsumer
from tests.support.postgres import LedgerDSN
from tests.support.stream import SYSTEM, Backend, batch, record, until_readable

END_SESSIONS = Query(
    "end_sessions",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename = 'turnout_reader' AND datname = current_database()",
)
NUMBERS = Query("numbers", "SELECT n FROM effects ORDER BY ctid")


@pytest.fixture
async def database(fresh_ledger_dsn: LedgerDSN) -> AsyncIterator[Connection]:
    """A session on a database with a table for effects."""
    connection = await Connection.open(fresh_ledger_dsn.superuser, connect_timeout_s=10)
    await connection.script(f"{TABLE}; {GRANT}")
    yield connection
    await connection.aclose()


async def _fill(backend: Backend, count: int, *, first: int = 0) -> None:
    writer = backend.writer()
    await writer.open()
    for number in range(first, first + count, 10):
        await writer.append(batch(number, min(10, first + count - number), known=number > 0))
    await writer.aclose()
    await until_readable(backend, first + count)


async def _numbers(database: Connection) -> list[int]:
    return (await database.run(NUMBERS)).column(0)


@asynccontextmanager
async def _runner(
    backend: Backend, database: Connection, **changes: Any
) -> AsyncIterator[ConsumerRunner]:
    consumer = EffectsConsumer(database, **changes)
    async with backend.reader(read_wait_s=0.02) as reader:
        runner = ConsumerRunner(consumer, reader, database, limits=LIMITS)
        runner.figures.cursor = await read_cursor(database, GROUP, 0)
        yield runner


async def _drain(runner: ConsumerRunner) -> None:
    with trio.fail_after(20):
        while await runner.step():
            pass


async def test_every_event_has_its_effect_once(backend: Backend, database: Connection) -> None:
    """Effect and cursor move together, in transactions of bounded size."""
    await _fill(backend, 100)
    async with _runner(backend, database) as runner:
        await _drain(runner)
    assert await _numbers(database) == list(range(100))
    assert await read_cursor(database, GROUP, 0) == {0: 100}
    assert runner.figures.transactions >= 100 / 16


async def test_a_new_runner_goes_on_where_the_cursor_stands(
    backend: Backend, database: Connection
) -> None:
    """What was taken in before a restart is not taken in again."""
    await _fill(backend, 20)
    async with _runner(backend, database) as runner:
        await _drain(runner)
    await _fill(backend, 20, first=20)
    async with _runner(backend, database) as runner:
        await _drain(runner)
        assert runner.figures.events == 20
    assert await _numbers(database) == list(range(40))


@pytest.mark.slow
async def test_kill_nine_neither_loses_nor_doubles_an_effect(
    backend: Backend, database: Connection, fresh_ledger_dsn: LedgerDSN
) -> None:
    """A process killed again and again in the middle of its work has every effect once."""
    await _fill(backend, 1_500)
    command = [sys.executable, "-m", "tests.support.consuming"]
    command += [fresh_ledger_dsn.superuser, *backend.address]
    kills = 0
    with trio.fail_after(40):
        while (taken := len(await _numbers(database))) < 1_500:
            process = subprocess.Popen(command)  # noqa: ASYNC220  killed, not waited for
            try:
                target = min(taken + 700, 1_500)
                while len(await _numbers(database)) < target:
                    await trio.sleep(0.002)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            kills += 1
    assert kills >= 2
    assert await _numbers(database) == list(range(1_500))


@pytest.mark.parametrize("how", ["refused", "broken"])
async def test_an_event_that_breaks_its_consumer_is_parked(
    backend: Backend, database: Connection, how: str
) -> None:
    """Whether the consumer refuses it or Postgres does: it alone is put aside, with the reason."""
    await _fill(backend, 50)
    async with _runner(backend, database, **{how: {7, 31}}) as runner:
        await _drain(runner)
    assert await _numbers(database) == [n for n in range(50) if n not in (7, 31)]
    parked = await list_parked(database)
    assert [(one.group, one.offset, one.tries) for one in parked] == [
        (GROUP, 7, 1),
        (GROUP, 31, 1),
    ]
    assert parked[0].intent_id == (7).to_bytes(16)
    expected = "refused" if how == "refused" else "DivisionByZero"
    assert expected in parked[0].reason


async def test_a_parked_event_is_tried_again_on_demand(
    backend: Backend, database: Connection
) -> None:
    """Once its cause is mended it takes effect and leaves the list; a failed try is counted."""
    await _fill(backend, 10)
    async with _runner(backend, database, refused={3}) as runner:
        await _drain(runner)
        assert isinstance(runner._consumer, EffectsConsumer)
        place: dict[str, Any] = {"group": GROUP, "shard": 0, "partition": 0, "offset": 3}
        await ask_for_retry(database, **place, operator="anna")
        await runner.step()
        [parked] = await list_parked(database)
        assert (parked.tries, parked.retry_at_us) == (2, None)
        runner._consumer.refused.clear()
        await ask_for_retry(database, **place, operator="anna", note="mended")
        await runner.step()
    assert await list_parked(database) == []
    assert sorted(await _numbers(database)) == list(range(10))
    with pytest.raises(OperatorError, match="no such event is parked"):
        await ask_for_retry(database, **place, operator="anna")


async def test_a_runner_stops_when_too_much_is_parked(
    backend: Backend, database: Connection
) -> None:
    """Many events that break are a fault of the consumer, not of the events."""
    await _fill(backend, 20)
    async with _runner(backend, database, refused=range(5, 20)) as runner:
        with pytest.raises(ConsumerStoppedError, match="3 events parked"):
            await _drain(runner)
    assert await _numbers(database) == list(range(5))
    assert await read_cursor(database, GROUP, 0) == {0: 8}


async def test_what_a_repair_repeats_is_dropped(backend: Backend, database: Connection) -> None:
    """An event that came before, or twice in one page, has no second effect."""
    await _fill(backend, 10)
    writer = backend.writer()
    await writer.open()
    repeated = [record(n, flags=REPAIR, commit_lsn=5_000) for n in (4, 10, 10, 11)]
    await writer.append(Batch(repeated, [], Mark(SYSTEM, 1, 6_000)))
    await writer.aclose()
    await until_readable(backend, 14)
    async with _runner(backend, database) as runner:
        await _drain(runner)
        assert runner.figures.repeats == 2
    assert await _numbers(database) == list(range(12))


async def test_two_runners_of_a_group_do_not_share_it(
    backend: Backend, database: Connection
) -> None:
    """The one whose cursor was moved by the other stops, without effect."""
    await _fill(backend, 10)
    async with _runner(backend, database) as first, _runner(backend, database) as second:
        await _drain(first)
        with pytest.raises(ConsumerStoppedError, match="another runner"):
            await _drain(second)
    assert await _numbers(database) == list(range(10))


async def test_replay_from_anywhere(backend: Backend, database: Connection) -> None:
    """A cursor set back has everything from there on taken in again."""
    await _fill(backend, 10)
    async with _runner(backend, database) as runner:
        await _drain(runner)
    await reset_cursor(database, GROUP, 0, {0: 6})
    async with _runner(backend, database) as runner:
        await _drain(runner)
    assert await _numbers(database) == [*range(10), *range(6, 10)]


async def test_a_stream_that_begins_anew_is_read_from_its_beginning(
    backend: Backend, database: Connection
) -> None:
    """By the runner that stands beyond its end, once the cursors have been set back."""
    await begin_cursor(database, GROUP, 0, {0: 1_000})
    await _fill(backend, 10)
    async with _runner(backend, database) as runner:
        assert await runner.step() == 0
        assert runner.figures.cursor == {0: 1_000}
        await reset_cursors(database, 0)
        await _drain(runner)
    assert await _numbers(database) == list(range(10))


async def test_a_fault_of_ours_parks_nothing(backend: Backend, database: Connection) -> None:
    """A table that is missing is no event's fault: the runner ends and nothing is passed over."""
    await _fill(backend, 10)
    await database.script("ALTER TABLE effects RENAME TO elsewhere")
    async with _runner(backend, database) as runner:
        with pytest.raises(DatabaseError):
            await _drain(runner)
    assert await list_parked(database) == []
    assert await read_cursor(database, GROUP, 0) == {}


async def test_a_record_that_cannot_be_read_is_parked(
    backend: Backend, database: Connection
) -> None:
    """What does not fit its descriptor is put aside like any event that breaks its consumer."""
    await _fill(backend, 3)
    writer = backend.writer()
    await writer.open()
    odd = [record(3, row=(bytes(16),)), record(4)]
    await writer.append(Batch(odd, [], Mark(SYSTEM, 1, 1_000)))
    await writer.aclose()
    await until_readable(backend, 5)
    async with _runner(backend, database) as runner:
        await _drain(runner)
    assert await _numbers(database) == [0, 1, 2, 4]
    [parked] = await list_parked(database)
    assert (parked.offset, parked.reason) == (
        3,
        "RecordError: outcomes: 1 columns; its descriptor has 2",
    )


@pytest.mark.slow
async def test_lost_connections_neither_lose_nor_double_an_effect(
    backend: Backend, database: Connection, fresh_ledger_dsn: LedgerDSN
) -> None:
    """Sessions ended by the server at any moment, also in a commit, are no more than a pause."""
    await _fill(backend, 500)
    pool = Pool(fresh_ledger_dsn("turnout_reader"), 1, settings=Ledger(reconnect_min_s=0.001))
    ended = 0
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery, backend.reader(read_wait_s=0.02) as reader:
            await nursery.start(pool.serve)
            runner = ConsumerRunner(EffectsConsumer(pool), reader, pool, limits=LIMITS)
            nursery.start_soon(runner.run)
            while len(await _numbers(database)) < 500:
                ended += len((await database.run(END_SESSIONS)).rows())
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    assert ended >= 1
    assert await _numbers(database) == list(range(500))
