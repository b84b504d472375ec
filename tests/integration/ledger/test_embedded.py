"""Our own Postgres: set up, started, killed, found again, stopped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from ledger.connection import Connection
from ledger.embedded import EmbeddedPostgres
from ledger.embedded.answering import Answer, knock
from ledger.embedded.binaries import find_binaries
from ledger.embedded.identity import Identity, choose_identity
from ledger.embedded.orphans import clear_orphans, recorded_process, server_processes
from ledger.errors import ConnectionLostError, EmbeddedPostgresError
from ledger.queries import Query
from tests.support.postgres import TEST_SETTINGS, open_folder, server_uid

ROOT = Path(__file__).parents[3]
ONE = Query("one", "SELECT 1")
PROVOCATIONS_MAX = 5
SHOWN = Query(
    "shown",
    "SELECT name, setting FROM pg_settings WHERE name IN ('wal_level', 'listen_addresses',"
    " 'data_checksums', 'log_error_verbosity', 'TimeZone', 'max_slot_wal_keep_size', 'fsync',"
    " 'max_connections', 'full_page_writes', 'synchronous_commit', 'password_encryption')",
)
LOCALE = Query(
    "locale",
    "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = current_database()",
)


def embedded(folder: Path, **settings: object) -> EmbeddedPostgres:
    """A server on `folder`, not started."""
    return EmbeddedPostgres(
        data_dir=folder / "data",
        socket_dir=folder / "run",
        settings=msgspec.structs.replace(TEST_SETTINGS, **settings),
        uid=server_uid(),
    )


@asynccontextmanager
async def running(server: EmbeddedPostgres) -> AsyncIterator[EmbeddedPostgres]:
    """A started server, stopped at the end."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def identity() -> Identity:
    """Who runs the server here."""
    return choose_identity(server_uid(), None)


async def ask(dsn: str, query: Query = ONE) -> list[tuple[object, ...]]:
    """Run one query in a session of its own."""
    connection = await Connection.open(dsn, connect_timeout_s=10)
    try:
        return (await connection.run(query)).rows()
    finally:
        await connection.aclose()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A folder with a stopped cluster; each test leaves it stopped and whole."""
    with open_folder() as folder:
        server = embedded(folder)
        trio.run(server.start)
        trio.run(server.stop)
        yield folder


async def test_the_first_start_makes_a_cluster_as_it_should_be(open_tmp_path: Path) -> None:
    """Logical WAL, no TCP, checksums, durable, C.UTF-8, passwords everywhere, private files."""
    async with running(embedded(open_tmp_path, max_connections=17)) as server:
        assert dict(await ask(server.superuser_dsn(), SHOWN)) == {
            "wal_level": "logical",
            "listen_addresses": "",
            "data_checksums": "on",
            "log_error_verbosity": "terse",
            "TimeZone": "UTC",
            "max_slot_wal_keep_size": "8192",
            "fsync": "on",
            "max_connections": "17",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "password_encryption": "scram-sha-256",
        }
        assert await ask(server.superuser_dsn(), LOCALE) == [("b", "C.UTF-8")]
        with pytest.raises(ConnectionLostError, match="password authentication failed"):
            await ask(server.dsn("postgres", "guess"))
        with pytest.raises(EmbeddedPostgresError, match="runs already"):
            await server.start()
    data = open_tmp_path / "data"
    assert (data / "postgres.password").stat().st_mode & 0o777 == 0o600
    assert (data / "postgres").stat().st_mode & 0o777 == 0o700
    assert (data / "postgres").stat().st_uid == identity().uid
    assert sorted(path.name for path in (data / "postgres").iterdir()) == ["data"]
    assert server.process_id is None
    assert server_processes(data / "postgres" / "data", identity()) == []


async def test_its_command_line_holds_no_password(cluster: Path) -> None:
    """Anyone may read the arguments of a process."""
    async with running(embedded(cluster)) as server:
        assert "postgres" in arguments_of(server.process_id)
        password = (cluster / "data" / "postgres.password").read_text()
        assert password not in arguments_of(server.process_id)


def arguments_of(process_id: int | None) -> str:
    """The command line of a process, as anyone may read it."""
    return Path(f"/proc/{process_id}/cmdline").read_text()


async def test_a_long_data_folder_needs_only_a_short_socket_folder(open_tmp_path: Path) -> None:
    """150 characters of path would not fit into a socket's address; they need not."""
    deep = open_tmp_path / ("d" * 150)
    server = EmbeddedPostgres(
        data_dir=deep,
        socket_dir=open_tmp_path / "run",
        settings=TEST_SETTINGS,
        uid=server_uid(),
    )
    async with running(server):
        assert await ask(server.superuser_dsn()) == [(1,)]


async def test_what_was_committed_survives_a_kill_and_the_server_starts_again(
    cluster: Path,
) -> None:
    """A killed postmaster is noticed; the same object starts it again and loses nothing."""
    async with running(embedded(cluster)) as server:
        connection = await Connection.open(server.superuser_dsn(), connect_timeout_s=10)
        await connection.script("CREATE TABLE kept AS SELECT 1 AS id")
        killed = server.process_id
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        with trio.fail_after(5):
            assert await server.died() == -signal.SIGKILL
        await server.start()
        assert server.process_id != killed
        with pytest.raises(ConnectionLostError):
            await connection.run(ONE)
        kept = Query("kept", "SELECT id FROM kept")
        assert await ask(server.superuser_dsn(), kept) == [(1,)]


async def test_one_data_folder_has_one_server(cluster: Path) -> None:
    """The second start is refused while the first server runs, and disturbs nothing."""
    async with running(embedded(cluster)) as server:
        with pytest.raises(EmbeddedPostgresError, match="another process runs Postgres on"):
            await embedded(cluster).start()
        assert await ask(server.superuser_dsn()) == [(1,)]


ORPHAN_MAKER = """
import os, sys, trio
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.integration.ledger.test_embedded import embedded
server = embedded(Path(sys.argv[1]))
trio.run(server.start)
print(server.process_id, flush=True)
os.kill(os.getpid(), 9)
"""


async def test_an_orphan_of_a_killed_run_is_stopped_and_replaced(cluster: Path) -> None:
    """Nobody is left to stop it, so the next start does, and only on its own data folder."""
    done = await trio.run_process(
        [sys.executable, "-c", ORPHAN_MAKER, str(cluster), str(ROOT)],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    orphan = int(done.stdout)
    data = cluster / "data" / "postgres" / "data"
    assert orphan in server_processes(data, identity())
    async with running(embedded(cluster)) as server:
        assert server.process_id not in (None, orphan)
        assert orphan not in server_processes(data, identity())
        assert await ask(server.superuser_dsn()) == [(1,)]


async def test_children_of_a_killed_postmaster_are_ended(cluster: Path) -> None:
    """A busy one does not notice the death by itself, and holds the shared memory."""
    async with running(embedded(cluster)) as server, trio.open_nursery() as nursery:
        busy = await Connection.open(server.superuser_dsn(), connect_timeout_s=10)

        async def be_busy() -> None:
            with pytest.raises(ConnectionLostError):
                await busy.script("DO $$ BEGIN LOOP END LOOP; END $$")

        nursery.start_soon(be_busy)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.process_id is not None
        os.kill(server.process_id, signal.SIGKILL)
        await server.died()
        data = cluster / "data" / "postgres" / "data"
        assert busy.backend_process_id in server_processes(data, identity())
        await server.start()
        assert await ask(server.superuser_dsn()) == [(1,)]


async def test_an_orphan_that_does_not_listen_is_killed(cluster: Path) -> None:
    """Stopped processes take no signal but one."""
    data = cluster / "data" / "postgres" / "data"
    async with running(embedded(cluster)) as server:
        assert server.process_id is not None
        os.kill(server.process_id, signal.SIGSTOP)  # first: it neither starts nor reaps any now
        for process_id in server_processes(data, identity()):
            os.kill(process_id, signal.SIGSTOP)
        with trio.fail_after(5):
            await clear_orphans(data, identity(), stop_timeout_s=0.02, kill_wait_s=0.5)
        assert server_processes(data, identity()) == []
        assert await server.died() == -signal.SIGKILL


async def test_a_stopped_postmaster_is_ended_so_that_another_can_start(cluster: Path) -> None:
    """It lives and lets nobody in; after the time-out it is killed, and the next one serves."""
    async with running(embedded(cluster, answer_timeout_s=0.3)) as server:
        process_id = server.process_id
        assert process_id is not None
        os.kill(process_id, signal.SIGSTOP)
        with trio.fail_after(10):
            assert await server.died() == -signal.SIGKILL
        await server.start()
        assert server.process_id != process_id
        assert await ask(server.superuser_dsn()) == [(1,)]


async def test_a_shutdown_that_never_ends_is_ended(cluster: Path) -> None:
    """Asked to stop while it recovers, Postgres 18 refuses everyone for ever; ours starts again.

    Whether the wish to stop meets the recovery is a matter of milliseconds: it is tried again.
    """
    async with running(embedded(cluster, stop_timeout_s=1.0)) as server:
        for attempt in range(1, PROVOCATIONS_MAX + 1):
            process_id = server.process_id
            assert process_id is not None
            session = await Connection.open(server.superuser_dsn(), connect_timeout_s=10)
            await session.script(
                f"CREATE TABLE wide_{attempt} AS SELECT generate_series(1, 50000) AS n"
            )
            os.kill(session.backend_process_id, signal.SIGKILL)
            await knocked(server, Answer.RECOVERING)
            os.kill(process_id, signal.SIGINT)
            with trio.fail_after(15), capture_logs() as logs:
                status = await server.died()
            await server.start()
            if status != 0:  # by itself it ends with 0, and in good order
                break
        else:
            pytest.fail("Postgres stopped in good order each time")
        [because] = [line["because"] for line in logs if line["event"] == "Postgres is unusable"]
        assert because == f"it {Answer.STOPPING.value}"
        counted = Query("counted", f"SELECT count(*) FROM wide_{attempt}")
        assert await ask(server.superuser_dsn(), counted) == [(50_000,)]


async def knocked(server: EmbeddedPostgres, wanted: Answer) -> None:
    """Knock until the server says what is wanted."""
    with trio.fail_after(10):
        while await knock(server.socket_path, wait_s=1.0) is not wanted:
            await trio.sleep(0.001)


async def test_a_process_id_file_that_names_a_stranger_is_removed(cluster: Path) -> None:
    """The process id of a killed server may be anybody's by now: here it is our own."""
    data = cluster / "data" / "postgres" / "data"
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n0\n5432\n/nowhere\n\n  0 0\n")
    async with running(embedded(cluster)) as server:
        assert recorded_process(data) == server.process_id


async def test_the_data_of_another_major_version_is_refused(cluster: Path) -> None:
    """Nothing is started on it, and the way out is named."""
    version = cluster / "data" / "postgres" / "data" / "PG_VERSION"
    genuine = version.read_text()
    version.write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match=r"belongs to Postgres 15.*pg_upgrade"):
        await embedded(cluster).start()
    version.unlink()
    with pytest.raises(EmbeddedPostgresError, match="not a Postgres data folder"):
        await embedded(cluster).start()
    version.write_text(genuine)


async def test_a_lost_password_file_is_named(cluster: Path) -> None:
    """The cluster is there, the key to it is not."""
    password = cluster / "data" / "postgres.password"
    genuine = password.read_text()
    password.write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"postgres\.password is empty"):
        await embedded(cluster).start()
    password.write_text("another")
    with pytest.raises(EmbeddedPostgresError, match=r"cannot log in with .*postgres\.password"):
        await embedded(cluster).start()
    password.unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"postgres\.password: No such file"):
        await embedded(cluster).start()
    password.write_text(genuine)
    data = cluster / "data" / "postgres" / "data"
    assert server_processes(data, identity()) == []


async def test_a_setting_that_postgres_refuses_is_reported_in_its_words(
    cluster: Path,
) -> None:
    """The telling line of the log is in the error; nothing keeps running."""
    with pytest.raises(EmbeddedPostgresError, match=r"ended while starting.*shared_buffers"):
        await embedded(cluster, shared_buffers="a lot").start()
    async with running(embedded(cluster)) as server:
        assert await ask(server.superuser_dsn()) == [(1,)]


async def test_a_start_that_takes_too_long_is_ended(cluster: Path) -> None:
    """The time-out is named by its setting, and the half-started server is gone."""
    with pytest.raises(EmbeddedPostgresError, match=r"ledger\.start_timeout_s"):
        await embedded(cluster, start_timeout_s=0.0).start()
    data = cluster / "data" / "postgres" / "data"
    assert server_processes(data, identity()) == []


async def test_a_canceled_start_leaves_nothing_running(cluster: Path) -> None:
    """Ctrl-C while starting is as clean as afterwards."""
    data = cluster / "data" / "postgres" / "data"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(embedded(cluster).start)
        with trio.fail_after(10):
            while True:
                if server_processes(data, identity()):
                    break
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert server_processes(data, identity()) == []
    async with running(embedded(cluster)) as server:
        assert await ask(server.superuser_dsn()) == [(1,)]


@pytest.mark.parametrize("folder", ["x" * 120, "with,comma", "with'quote"])
async def test_a_folder_that_cannot_hold_a_socket_is_refused(
    open_tmp_path: Path, folder: str
) -> None:
    """Before anything is written."""
    server = EmbeddedPostgres(
        data_dir=open_tmp_path / "data",
        socket_dir=open_tmp_path / folder,
        settings=TEST_SETTINGS,
        uid=server_uid(),
    )
    with pytest.raises(EmbeddedPostgresError, match="cannot hold a Unix socket"):
        await server.start()
    assert not (open_tmp_path / "data").exists()


async def test_a_socket_folder_that_cannot_be_made_is_named(cluster: Path) -> None:
    """Below a file there is no folder; nothing is left running or locked."""
    (cluster / "file").write_text("")
    server = EmbeddedPostgres(
        data_dir=cluster / "data",
        socket_dir=cluster / "file" / "run",
        settings=TEST_SETTINGS,
        uid=server_uid(),
    )
    with pytest.raises(EmbeddedPostgresError, match=r"cannot start Postgres: .*file/run"):
        await server.start()
    async with running(embedded(cluster)):
        pass


async def test_before_it_starts_there_is_no_superuser_and_nothing_to_wait_for(
    open_tmp_path: Path,
) -> None:
    """Asking too early is an error, not a wrong answer."""
    server = embedded(open_tmp_path)
    assert server.process_id is None
    with pytest.raises(EmbeddedPostgresError, match="after start"):
        server.superuser_dsn()
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        await server.died()


async def test_an_installation_that_is_none_is_refused(open_tmp_path: Path) -> None:
    """A folder without Postgres, and a program that is not Postgres, are told apart."""
    with pytest.raises(EmbeddedPostgresError, match="does not run"):
        await find_binaries(str(open_tmp_path), open_tmp_path / "copies", identity())
    impostor = open_tmp_path / "postgres"
    impostor.write_text("#!/bin/sh\necho something else\n")
    impostor.chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match="is not PostgreSQL"):
        await find_binaries(str(open_tmp_path), open_tmp_path / "copies", identity())
