"""One session against a real Postgres: transactions, errors, cancellation and cut wires."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from ledger import pgtypes
from ledger.connection import Connection
from ledger.errors import (
    ConnectionBusyError,
    ConnectionLostError,
    DatabaseError,
    RetryableError,
    RowError,
)
from ledger.queries import Query
from tests.support.postgres import LedgerDSN
from tests.support.proxy import WireProxy

TABLES = """
CREATE TABLE IF NOT EXISTS notes (
    id bigint CONSTRAINT notes_key PRIMARY KEY,
    text text
);
CREATE TABLE IF NOT EXISTS late (
    id bigint CONSTRAINT late_key UNIQUE DEFERRABLE INITIALLY DEFERRED
);
TRUNCATE notes, late
"""
INSERT = Query("insert_notes", "INSERT INTO notes SELECT unnest($1::bigint[]) RETURNING id")
INSERT_LATE = Query("insert_late", "INSERT INTO late VALUES ($1::bigint)")
COUNT = Query("count_notes", "SELECT count(*) FROM notes")
COUNT_LATE = Query("count_late", "SELECT count(*) FROM late")
ONE = Query("one", "SELECT 1")
SLEEP = Query("sleep", "SELECT pg_sleep($1::float8)")
BROKEN = Query("broken", "SELEC 1")


@pytest.fixture
async def connection(ledger_dsn: LedgerDSN) -> AsyncIterator[Connection]:
    """A superuser's session with two empty tables."""
    session = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10, answer_timeout_s=10)
    await session.script(TABLES)
    yield session
    await session.aclose()


async def count(connection: Connection, query: Query = COUNT) -> int:
    """Rows of a table."""
    return int((await connection.run(query)).column(0)[0])


def ids(*values: int) -> list[bytes | None]:
    """The parameters of INSERT."""
    return [pgtypes.int8_array(values)]


async def test_a_query_returns_rows_status_and_count(connection: Connection) -> None:
    """First use prepares, second use does not; both say the same."""
    for values in ((1, 2), (3, 4)):
        result = await connection.run(INSERT, ids(*values))
        assert result.rows() == [(value,) for value in values]
        assert (result.status, result.row_count) == ("INSERT 0 2", 2)
    assert await count(connection) == 4


async def test_each_query_is_prepared_once(connection: Connection) -> None:
    """The server knows one statement a query, under the query's name."""
    statements = Query("statements", "SELECT name, prepare_time FROM pg_prepared_statements")
    await connection.run(ONE)
    first = dict((await connection.run(statements)).rows())
    await connection.run(ONE)
    again = dict((await connection.run(statements)).rows())
    assert first == again
    assert first.keys() == {"one", "statements"}


async def test_a_pipeline_is_one_transaction(connection: Connection) -> None:
    """Every step is in the same transaction, and it is committed when the call returns."""
    transaction = Query("transaction", "SELECT pg_current_xact_id()::text")
    results = await connection.pipeline([(transaction, ()), (INSERT, ids(1)), (transaction, ())])
    assert results[0].rows() == results[2].rows()
    assert results[1].column(0) == [1]
    assert await count(connection) == 1


@pytest.mark.parametrize("prepared_before", [False, True])
async def test_a_failed_step_undoes_those_before_and_skips_those_after(
    connection: Connection, *, prepared_before: bool
) -> None:
    """All or nothing, whether the statements were known to the session or came along."""
    if prepared_before:
        await connection.run(INSERT, ids())
        await connection.run(ONE)
    with pytest.raises(RowError) as caught:
        await connection.pipeline([(INSERT, ids(1)), (INSERT, ids(1)), (ONE, ()), (INSERT, ids(2))])
    assert (caught.value.sqlstate, caught.value.constraint, caught.value.query) == (
        "23505",
        "notes_key",
        "insert_notes",
    )
    assert await count(connection) == 0
    assert (await connection.run(ONE)).rows() == [(1,)]


async def test_a_statement_that_does_not_parse_undoes_the_pipeline(connection: Connection) -> None:
    """Its name is in the error, and the session goes on, also with the statements after it."""
    with pytest.raises(DatabaseError, match=r"42601.*in query broken") as caught:
        await connection.pipeline([(INSERT, ids(1)), (BROKEN, ()), (ONE, ())])
    assert type(caught.value) is DatabaseError
    assert await count(connection) == 0
    assert (await connection.run(ONE)).rows() == [(1,)]


async def test_a_deferred_constraint_fails_the_call_at_its_sync(connection: Connection) -> None:
    """Every step had been answered well; the commit itself was refused."""
    with pytest.raises(RowError) as caught:
        await connection.pipeline([(INSERT_LATE, [pgtypes.int8_(1)])] * 2)
    assert (caught.value.sqlstate, caught.value.constraint) == ("23505", "late_key")
    assert await count(connection, COUNT_LATE) == 0
    await connection.run(INSERT_LATE, [pgtypes.int8_(1)])
    assert await count(connection, COUNT_LATE) == 1


async def test_an_error_quotes_no_row(connection: Connection) -> None:
    """Postgres would name the value; what reaches us names the condition."""
    cast = Query("cast", "SELECT $1::text::integer")
    with pytest.raises(RowError) as caught:
        await connection.run(cast, [pgtypes.text_("4242424242424242")])
    assert str(caught.value) == "NumericValueOutOfRange (22003) in query cast"


async def test_params_of_the_wrong_type_close_the_session(connection: Connection) -> None:
    """Half a pipeline was queued, so the session cannot go on; nothing was committed."""
    with pytest.raises(TypeError):
        await connection.pipeline([(INSERT, ids(1)), (INSERT, [7])])  # type: ignore[list-item]
    assert connection.closed
    with pytest.raises(ConnectionLostError, match="closed"):
        await connection.run(ONE)


async def test_two_tasks_cannot_share_a_session(connection: Connection) -> None:
    """The second is refused at once, and the first is not disturbed."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run, SLEEP, [b"\x3f\xa9\x99\x99\x99\x99\x99\x9a"])  # 0.05
        await trio.testing.wait_all_tasks_blocked(0.005)
        for call in (connection.run(ONE), connection.script("SELECT 1")):
            with pytest.raises(ConnectionBusyError):
                await call
        assert connection.check()
    assert (await connection.run(ONE)).rows() == [(1,)]


async def test_the_server_ends_a_statement_that_takes_too_long(connection: Connection) -> None:
    """statement_timeout is an error that may be repeated, and the session goes on."""
    await connection.script("SET statement_timeout = 20")
    with pytest.raises(RetryableError) as caught:
        await connection.run(SLEEP, [b"\x40\x14" + bytes(6)])  # 5.0
    assert caught.value.sqlstate == "57014"
    assert (await connection.run(ONE)).rows() == [(1,)]


async def test_cancellation_waits_for_the_answer(connection: Connection) -> None:
    """A canceled call has its whole effect, its result, and leaves the session usable."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel_soon() -> None:
                await trio.testing.wait_all_tasks_blocked(0.005)
                scope.cancel()

            nursery.start_soon(cancel_soon)
            slow = Query("slow", "INSERT INTO notes SELECT 1 FROM pg_sleep(0.05) RETURNING id")
            result = await connection.run(slow)
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert result.column(0) == [1]
    assert await count(connection) == 1


async def test_cancellation_before_sending_sends_nothing(connection: Connection) -> None:
    """A call that begins canceled has no effect."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await connection.run(INSERT, ids(1))
    assert scope.cancelled_caught
    assert await count(connection) == 0


async def test_more_than_the_socket_takes_goes_out_while_answers_come_in(
    connection: Connection,
) -> None:
    """16 MB each way in one pipeline: both sides would block if only one were served."""
    echo = Query("echo", "SELECT $1::bytea")
    large = bytes(4_000_000)
    results = await connection.pipeline([(echo, [large])] * 4)
    assert [result.column(0) == [large] for result in results] == [True] * 4


async def test_a_script_is_one_transaction(connection: Connection) -> None:
    """Its first failure undoes what came before."""
    with pytest.raises(RowError):
        await connection.script("INSERT INTO notes VALUES (1); INSERT INTO notes VALUES (1)")
    assert await count(connection) == 0


async def test_a_script_that_wants_to_copy_ends_the_session(connection: Connection) -> None:
    """The server would wait for data that nobody sends."""
    with pytest.raises(ConnectionLostError, match="cannot COPY"):
        await connection.script("COPY notes FROM STDIN")
    assert connection.closed


async def test_a_session_ended_by_the_server_is_lost(connection: Connection) -> None:
    """During a call it is an error with the server's reason; nothing is left to use."""
    suicide = Query("suicide", "SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(ConnectionLostError) as caught:
        await connection.run(suicide)
    assert caught.value.sqlstate == "57P01"
    assert connection.closed
    assert not connection.check()


async def test_a_script_ended_by_the_server_is_lost(connection: Connection) -> None:
    """The simple protocol tells the same story."""
    with pytest.raises(ConnectionLostError) as caught:
        await connection.script("SELECT pg_terminate_backend(pg_backend_pid())")
    assert caught.value.sqlstate == "57P01"
    assert connection.closed


async def test_an_idle_session_that_the_server_ended_is_found_by_looking(
    connection: Connection, ledger_dsn: LedgerDSN
) -> None:
    """A look, not a query, tells whether a session can still be used."""
    other = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)
    assert other.check()
    await connection.script(f"SELECT pg_terminate_backend({other.backend_process_id}, 5000)")
    await trio.lowlevel.wait_readable(other._socket)
    assert not other.check()
    assert other.closed


async def test_closing_ends_a_call_in_flight(connection: Connection, ledger_dsn: LedgerDSN) -> None:
    """The caller learns that the fate is unknown instead of waiting for ever."""
    other = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)

    async def close_soon() -> None:
        await trio.testing.wait_all_tasks_blocked(0.005)
        await other.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_soon)
        with pytest.raises(ConnectionLostError):
            await other.run(SLEEP, [b"\x40\x14" + bytes(6)])
    assert other.closed


async def test_an_answer_lost_on_the_wire_leaves_the_fate_open(
    connection: Connection, ledger_dsn: LedgerDSN, open_tmp_path: Path
) -> None:
    """The insert was committed, its answer was not heard, and the caller is told just that."""
    proxy = WireProxy(ledger_dsn.superuser, open_tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        other = await Connection.open(proxy.dsn, connect_timeout_s=10)

        async def cut_once_committed() -> None:
            while True:
                await trio.sleep(0.001)
                if await count(connection):
                    return await proxy.cut()

        proxy.deaf_to_server = True
        nursery.start_soon(cut_once_committed)
        with pytest.raises(ConnectionLostError) as caught:
            await other.run(INSERT, ids(1))
        nursery.cancel_scope.cancel()
    assert caught.value.sqlstate == "08006"
    assert other.closed
    assert await count(connection) == 1


async def test_a_batch_lost_on_the_wire_has_no_effect(
    connection: Connection, ledger_dsn: LedgerDSN, open_tmp_path: Path
) -> None:
    """The same error, the other fate: the server never got it."""
    proxy = WireProxy(ledger_dsn.superuser, open_tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        other = await Connection.open(proxy.dsn, connect_timeout_s=10)

        async def cut_soon() -> None:
            await trio.testing.wait_all_tasks_blocked(0.01)
            await proxy.cut()

        proxy.deaf_to_client = True
        nursery.start_soon(cut_soon)
        with pytest.raises(ConnectionLostError):
            await other.run(INSERT, ids(1))
        nursery.cancel_scope.cancel()
    assert await count(connection) == 0


async def test_a_server_that_says_nothing_is_given_up(
    connection: Connection, ledger_dsn: LedgerDSN, open_tmp_path: Path
) -> None:
    """Not even statement_timeout helps against a dead wire; the client's own bound does."""
    proxy = WireProxy(ledger_dsn.superuser, open_tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        other = await Connection.open(proxy.dsn, connect_timeout_s=10, answer_timeout_s=0.05)
        await other.run(ONE)
        proxy.deaf_to_server = True
        with pytest.raises(ConnectionLostError, match=r"no answer within 0\.05 s"):
            await other.run(ONE)
        nursery.cancel_scope.cancel()
    assert other.closed


@pytest.mark.parametrize("call", ["run", "script"])
async def test_noise_on_the_wire_ends_the_session(
    ledger_dsn: LedgerDSN, open_tmp_path: Path, call: str
) -> None:
    """What is no protocol is not waited out, in either of the two protocols we speak."""
    proxy = WireProxy(ledger_dsn.superuser, open_tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        other = await Connection.open(proxy.dsn, connect_timeout_s=10)
        proxy.garbling = True
        with pytest.raises(ConnectionLostError):
            await (other.run(ONE) if call == "run" else other.script("SELECT 1"))
        nursery.cancel_scope.cancel()
    assert other.closed


async def test_what_the_server_remarks_is_logged(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning is a line of ours, with its SQLSTATE; the call itself succeeds."""
    await connection.script("DO $$ BEGIN RAISE WARNING 'a remark' USING ERRCODE = '01003'; END $$")
    line = capsys.readouterr().err
    assert "notice from Postgres" in line
    assert "a remark" in line
    assert "01003" in line


async def test_connecting_to_a_silent_server_is_bounded(open_tmp_path: Path) -> None:
    """A listener that accepts and says nothing costs the connect time-out, no more."""
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(str(open_tmp_path / ".s.PGSQL.5432"))
    listening.listen()
    with pytest.raises(ConnectionLostError, match=r"no Postgres session within 0\.05 s"):
        await Connection.open(f"host={open_tmp_path} user=x", connect_timeout_s=0.05)
    listening.close()


async def test_a_wrong_password_is_refused_without_repeating_it(ledger_dsn: LedgerDSN) -> None:
    """The error names the role; the socket asks for passwords as TCP would."""
    dsn = ledger_dsn("turnout_api").replace("test password of", "hunter2")
    with pytest.raises(ConnectionLostError, match='"turnout_api"') as caught:
        await Connection.open(dsn, connect_timeout_s=10)
    assert "hunter2" not in str(caught.value)


async def test_a_missing_server_is_an_error_at_once(open_tmp_path: Path) -> None:
    """No socket, no session."""
    with pytest.raises(ConnectionLostError, match="No such file"):
        await Connection.open(f"host={open_tmp_path}", connect_timeout_s=10)


async def test_session_settings_hold_from_the_start(ledger_dsn: LedgerDSN) -> None:
    """They came with the connection itself, not with a statement after it."""
    session = await Connection.open(
        ledger_dsn.superuser,
        role_settings={"jit": "off", "search_path": "pg_catalog, public"},
        connect_timeout_s=10,
    )
    shown = Query("shown", "SELECT current_setting('jit'), current_setting('search_path')")
    assert (await session.run(shown)).rows() == [("off", "pg_catalog, public")]
    await session.aclose()
