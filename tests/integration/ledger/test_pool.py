"""The pool against a real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.errors import ConnectionLostError, PoolOverloadError
from ledger.pool import Pool
from ledger.queries import Query
from tests.support.postgres import LedgerDSN
from tests.support.proxy import WireProxy

SETTINGS = Ledger(reconnect_min_s=0.001, reconnect_max_s=0.01, pool_waiters_max=3)
WHO = Query("who", "SELECT pg_backend_pid()")


@asynccontextmanager
async def serving(dsn: str, size: int, settings: Ledger = SETTINGS) -> AsyncIterator[Pool]:
    """A pool that stands until the block ends."""
    pool = Pool(dsn, size, settings=settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.serve)
        yield pool
        nursery.cancel_scope.cancel()


async def until_open(pool: Pool, count: int) -> None:
    """Wait for the pool to hold `count` sessions."""
    with trio.fail_after(10):
        while True:
            if pool.open_count == count:
                return
            await trio.sleep(0.001)


async def terminate(ledger_dsn: LedgerDSN, process_id: int) -> None:
    """Have the server end a session, and wait until it has."""
    admin = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)
    await admin.script(f"SELECT pg_terminate_backend({process_id}, 5000)")
    await admin.aclose()


async def test_sessions_are_lent_and_come_back(ledger_dsn: LedgerDSN) -> None:
    """Two borrowers hold different sessions; afterwards the same two serve again."""
    async with serving(ledger_dsn("turnout_switch"), 2) as pool:
        async with pool.connection() as first, pool.connection() as second:
            processes = {first.backend_process_id, second.backend_process_id}
        assert len(processes) == 2
        async with pool.connection() as first, pool.connection() as second:
            assert {first.backend_process_id, second.backend_process_id} == processes
        assert (pool.size, pool.open_count, pool.reconnects) == (2, 2, 0)


async def test_the_session_given_back_last_is_lent_first(ledger_dsn: LedgerDSN) -> None:
    """One caller at a time keeps one backend warm and leaves the others alone."""
    async with serving(ledger_dsn("turnout_switch"), 3) as pool:
        await until_open(pool, 3)
        async with pool.connection() as first, pool.connection() as second:
            last = first.backend_process_id
            assert last != second.backend_process_id
        assert {(await pool.run(WHO)).column(0)[0] for _ in range(4)} == {last}


async def test_sessions_are_hot(ledger_dsn: LedgerDSN) -> None:
    """Without being told otherwise a pool's sessions carry payments."""
    settings = Query(
        "settings",
        "SELECT current_setting('plan_cache_mode'), current_setting('enable_seqscan'),"
        " current_setting('jit'), current_setting('statement_timeout'),"
        " current_setting('lock_timeout'), current_setting('synchronous_commit'),"
        " current_setting('idle_in_transaction_session_timeout')",
    )
    async with serving(ledger_dsn("turnout_switch"), 1) as pool:
        expected = ("force_generic_plan", "off", "off", "5s", "200ms", "on", "10s")
        assert (await pool.run(settings)).rows() == [expected]


async def test_a_pipeline_runs_on_one_session(ledger_dsn: LedgerDSN) -> None:
    """Its steps are one transaction, so they share a session."""
    async with serving(ledger_dsn("turnout_switch"), 3) as pool:
        results = await pool.pipeline([(WHO, ()), (WHO, ())])
        assert results[0].rows() == results[1].rows()


async def test_waiters_are_served_in_order(ledger_dsn: LedgerDSN) -> None:
    """First come, first served."""
    served: list[int] = []
    async with serving(ledger_dsn("turnout_switch"), 1) as pool, trio.open_nursery() as nursery:

        async def borrow(number: int) -> None:
            async with pool.connection():
                served.append(number)

        async with pool.connection():
            for number in range(3):
                nursery.start_soon(borrow, number)
                await trio.testing.wait_all_tasks_blocked(0.001)
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert served == [0, 1, 2]
    assert pool.waiters_peak == 3


async def test_one_waiter_too_many_is_refused(ledger_dsn: LedgerDSN) -> None:
    """The bound refuses at once, and the others keep their places."""
    async with (
        serving(ledger_dsn("turnout_switch"), 1) as pool,
        trio.open_nursery() as nursery,
        pool.connection(),
    ):
        for _ in range(SETTINGS.pool_waiters_max):
            nursery.start_soon(pool.run, WHO)
        await trio.testing.wait_all_tasks_blocked(0.001)
        with pytest.raises(PoolOverloadError, match="3 tasks wait"):
            await pool.run(WHO)
    assert pool.waiters_peak == SETTINGS.pool_waiters_max


async def test_a_canceled_waiter_takes_nothing_with_it(ledger_dsn: LedgerDSN) -> None:
    """The session it waited for goes to the next one."""
    async with serving(ledger_dsn("turnout_switch"), 1) as pool:
        async with pool.connection():
            with trio.move_on_after(0.005) as scope:
                await pool.run(WHO)
            assert scope.cancelled_caught
        assert (await pool.run(WHO)).row_count == 1


async def test_a_session_lost_in_use_is_replaced(ledger_dsn: LedgerDSN) -> None:
    """The borrower gets the error, the next one a new session."""
    async with serving(ledger_dsn("turnout_switch"), 1) as pool:
        async with pool.connection() as connection:
            lost = connection.backend_process_id
            await terminate(ledger_dsn, lost)
            with pytest.raises(ConnectionLostError):
                await connection.run(WHO)
        assert (await pool.run(WHO)).column(0)[0] != lost
        assert pool.reconnects == 1


async def test_a_session_lost_while_idle_is_not_lent(ledger_dsn: LedgerDSN) -> None:
    """The borrower never sees it."""
    async with serving(ledger_dsn("turnout_switch"), 1) as pool:
        lost = (await pool.run(WHO)).column(0)[0]
        await terminate(ledger_dsn, lost)
        await trio.sleep(0.01)
        assert (await pool.run(WHO)).column(0)[0] != lost


async def test_a_look_finds_and_replaces_what_is_lost(ledger_dsn: LedgerDSN) -> None:
    """Health is looked up without a query, and looking starts the repair."""
    async with serving(ledger_dsn("turnout_switch"), 2) as pool:
        await until_open(pool, 2)
        assert pool.check()
        await terminate(ledger_dsn, (await pool.run(WHO)).column(0)[0])
        await trio.sleep(0.01)
        assert pool.check()
        assert pool.open_count == 1
        await until_open(pool, 2)
        assert pool.reconnects == 1


async def test_a_pool_outlives_its_server(ledger_dsn: LedgerDSN, open_tmp_path: Path) -> None:
    """While nothing answers callers wait; when the server is back they are served."""
    proxy = WireProxy(ledger_dsn("turnout_switch"), open_tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        async with serving(proxy.dsn, 2) as pool:
            await until_open(pool, 2)
            proxy.refusing = True
            await proxy.cut()
            await trio.sleep(0.01)
            assert not pool.check()
            with trio.move_on_after(0.03) as scope:
                await pool.run(WHO)
            assert scope.cancelled_caught
            proxy.refusing = False
            assert (await pool.run(WHO)).row_count == 1
            await until_open(pool, 2)
        nursery.cancel_scope.cancel()


async def test_a_pool_that_cannot_start_says_why(ledger_dsn: LedgerDSN) -> None:
    """A wrong password is not waited out for ever."""
    dsn = ledger_dsn("turnout_switch").replace("test password of", "wrong")
    settings = msgspec.structs.replace(SETTINGS, connect_timeout_s=0.1)
    with pytest.raises(ConnectionLostError, match="password authentication failed"):
        await Pool(dsn, 1, settings=settings).serve()


async def test_a_patient_pool_starts_before_its_server(
    ledger_dsn: LedgerDSN, open_tmp_path: Path
) -> None:
    """It says that it has no session, takes whoever waits, and serves once the server is there."""
    answers: list[int] = []
    proxy = WireProxy(ledger_dsn("turnout_switch"), open_tmp_path)

    async def ask(pool: Pool) -> None:
        answers.append((await pool.run(WHO)).row_count)

    async with trio.open_nursery() as nursery:
        pool = Pool(proxy.dsn, 1, settings=SETTINGS, patient=True)
        await nursery.start(pool.serve)
        assert not pool.check()
        nursery.start_soon(ask, pool)
        await trio.sleep(0.02)
        assert answers == []
        await nursery.start(proxy.serve)
        await until_open(pool, 1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert answers == [1]
        nursery.cancel_scope.cancel()


async def test_a_pool_waits_for_a_server_that_is_starting(
    ledger_dsn: LedgerDSN, open_tmp_path: Path
) -> None:
    """Processes start side by side; the database may be the last to listen."""
    proxy = WireProxy(ledger_dsn("turnout_switch"), open_tmp_path)
    pool = Pool(proxy.dsn, 1, settings=SETTINGS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.serve)
        await trio.sleep(0.02)
        assert pool.open_count == 0
        await nursery.start(proxy.serve)
        assert (await pool.run(WHO)).row_count == 1
        nursery.cancel_scope.cancel()


async def test_a_pool_that_ended_wakes_and_refuses(ledger_dsn: LedgerDSN) -> None:
    """Whoever waits is told, whoever holds a session finds it closed, whoever comes is refused."""
    async with trio.open_nursery() as nursery, serving(ledger_dsn("turnout_switch"), 1) as pool:
        borrowed = await pool._borrow()

        async def wait_in_vain() -> None:
            with pytest.raises(ConnectionLostError, match="the pool has ended"):
                await pool.run(WHO)

        nursery.start_soon(wait_in_vain)
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert borrowed.closed
    pool._give_back(borrowed)
    with pytest.raises(ConnectionLostError, match="the pool has ended"):
        await pool.run(WHO)
    assert pool.open_count == 0


async def test_a_session_may_be_given_back_while_the_pool_ends(ledger_dsn: LedgerDSN) -> None:
    """A query that could not be canceled ends then; the pool closes its session like the others."""
    async with serving(ledger_dsn("turnout_switch"), 1) as pool:
        borrowed = await pool._borrow()
        pool._hand_over.close()
        pool._give_back(borrowed)
        assert not borrowed.closed
    assert borrowed.closed


def test_a_pool_holds_at_least_one_session() -> None:
    """A pool of none would make every caller wait for ever."""
    with pytest.raises(ValueError, match="at least one"):
        Pool("", 0, settings=SETTINGS)
