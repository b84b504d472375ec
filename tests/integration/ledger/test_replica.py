"""Our own replica: copied, following, killed, left behind, copied again."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from ledger.connection import Connection
from ledger.embedded import EmbeddedPostgres
from ledger.embedded.binaries import find_binaries
from ledger.embedded.cluster import Layout
from ledger.embedded.former import drop_former_slot, password_file
from ledger.embedded.identity import choose_identity
from ledger.embedded.orphans import server_processes
from ledger.embedded.postmaster import Postmaster
from ledger.embedded.replica import SET_BACK
from ledger.embedded.slot import SLOT, read_slot
from ledger.errors import DatabaseError
from ledger.queries import Query
from tests.support.postgres import TEST_SETTINGS, open_folder, password_of, server_uid
from tests.support.replica import Replicated, make_pair, replicated

KEPT = "SELECT n FROM kept ORDER BY n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A folder with a ledger and its replica, both stopped; each test leaves both whole."""
    with open_folder() as folder:
        trio.run(make_cluster, folder)
        yield folder


async def make_cluster(folder: Path) -> None:
    """Start both once."""
    async with replicated(folder) as pair:
        await pair.do("CREATE TABLE kept (n int)")
        await pair.bring_up()


async def wal_status(pair: Replicated) -> str:
    """What the primary says of the replica's slot."""
    async with pair.superuser() as session:
        return (await read_slot(session)).wal_status


async def test_it_is_copied_and_follows(cluster: Path) -> None:
    """What was there and what comes later is read there, by the api's own role, and never written.

    It follows as a role that reads no table; whose password stands in a file for its user alone,
    and on no command line.
    """
    async with replicated(cluster) as pair:
        shutil.rmtree(cluster / "data" / "replica")
        await pair.do("INSERT INTO kept VALUES (1); GRANT SELECT ON kept TO turnout_api")
        assert await pair.bring_up() == ["the ledger has been copied for it"]
        await pair.do("INSERT INTO kept VALUES (2)")
        await pair.catch_up()
        session = await Connection.open(pair.reads(), connect_timeout_s=5)
        assert (await session.run(Query("kept", KEPT))).column(0) == [1, 2]
        with pytest.raises(DatabaseError, match="read-only transaction"):
            await session.run(Query("write", "CREATE TABLE more (n int)"))
        await session.aclose()
        session = await Connection.open(pair("turnout_replica"), connect_timeout_s=5)
        with pytest.raises(DatabaseError, match="permission denied"):
            await session.run(Query("kept", KEPT))
        await session.aclose()
        assert await wal_status(pair) == "reserved"
        assert password_of("turnout_replica") not in arguments_of(pair.replica.process_id)
        secret = cluster / "data" / "replica.pgpass"
        status = secret.stat()
        assert (status.st_mode & 0o777, status.st_uid) == (0o600, server_uid() or os.getuid())
        await pair.do("DELETE FROM kept")


def arguments_of(process_id: int | None) -> str:
    """The command line of a process, as anyone may read it."""
    return Path(f"/proc/{process_id}/cmdline").read_text()


async def test_a_killed_one_goes_on_where_it_was(cluster: Path) -> None:
    """Without another copy, although it syncs nothing to disk; it has what came meanwhile."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        killed = pair.replica.process_id
        assert killed is not None
        endings = []

        async def look_after() -> None:
            endings.append(await pair.replica.died())

        with trio.fail_after(30), capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look_after)
                while "replica follows" not in [line["event"] for line in logs]:
                    await trio.sleep(0.01)
                os.kill(killed, signal.SIGKILL)
        assert endings == ["signal 9"]
        await pair.do("INSERT INTO kept VALUES (2)")
        assert await pair.bring_up() == []
        assert pair.replica.process_id != killed
        await pair.catch_up()
        assert await pair.ask(KEPT, on_replica=True) == [(2,)]
        await pair.do("DELETE FROM kept")


async def test_one_without_its_slot_is_copied_anew(cluster: Path) -> None:
    """Nobody kept the WAL for it; a ledger restored from a backup looks like this, too."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        await pair.replica.stop()
        await pair.do(f"SELECT pg_drop_replication_slot('{SLOT}'); INSERT INTO kept VALUES (3)")
        assert await pair.bring_up() == ["the ledger has been copied for it"]
        assert await pair.ask(KEPT, on_replica=True) == [(3,)]
        await pair.do("DELETE FROM kept")
        assert await wal_status(pair) == "reserved"


async def test_the_primary_gives_up_one_that_stays_away(cluster: Path) -> None:
    """Its disk comes first: no more WAL is kept than is set. The replica comes back by a copy."""
    async with replicated(cluster, max_slot_wal_keep_size="16MB") as pair:
        await pair.bring_up()
        await pair.replica.stop()
        await outgrow(pair)
        assert await pair.bring_up() == ["the ledger has been copied for it"]
        assert len(await pair.ask(KEPT, on_replica=True)) == 4
        await pair.do("DELETE FROM kept")


RECEIVER = "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'"


async def test_a_stopped_receiver_does_not_keep_the_primary_from_its_checkpoint(
    cluster: Path,
) -> None:
    """It holds a walsender in the middle of a write; the replica is ended, and the sender free."""
    async with replicated(cluster, max_slot_wal_keep_size="16MB") as pair:
        await pair.bring_up()
        with trio.fail_after(30):
            while not (found := await pair.ask(RECEIVER, on_replica=True)):
                await trio.sleep(0.02)
        [(receiver,)] = found
        os.kill(receiver, signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outgrow, pair)
            with trio.fail_after(30):
                assert await pair.replica.died() == "the primary has given up its replication slot"
        assert pair.replica.process_id is None
        data = cluster / "data" / "replica" / "data"
        assert server_processes(data, choose_identity(server_uid(), None)) == []


async def outgrow(pair: Replicated) -> None:
    """Write more WAL than is kept for a replica that takes none."""
    for _ in range(4):
        await pair.do("INSERT INTO kept VALUES (0); SELECT pg_switch_wal()")
    await pair.do("CHECKPOINT")
    assert await wal_status(pair) == "lost"


async def test_a_primary_that_was_set_back_is_copied_anew(cluster: Path) -> None:
    """What the replica has beyond it was lost; once it has been passed nothing would say so."""
    data, snapshot = cluster / "data" / "postgres" / "data", cluster / "snapshot"
    async with replicated(cluster) as pair:
        await pair.bring_up()
        before = await pair.ask(KEPT)
        await pair.primary.stop()
        shutil.copytree(data, snapshot)
        await pair.primary.start()
        await pair.do("INSERT INTO kept SELECT generate_series(1, 10_000)")
        await pair.catch_up()
        await pair.replica.stop()
        await pair.primary.stop()
        shutil.rmtree(data)
        snapshot.rename(data)
        choose_identity(server_uid(), None).take_tree(data)
        await pair.primary.start()
        [ending] = await fail_to_start(pair, 1)
        assert ending == SET_BACK
        assert not (cluster / "data" / "replica.boot").exists()  # whoever starts it next knows
        assert await pair.bring_up() == ["the ledger has been copied for it"]
        assert await pair.ask(KEPT, on_replica=True) == before


async def test_another_boot_makes_another_copy(cluster: Path) -> None:
    """What was not synced to disk is not trusted after a restart of the machine."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        await pair.replica.stop()
        boot = cluster / "data" / "replica.boot"
        genuine = boot.read_text()
        boot.write_text("another boot")
        assert await pair.bring_up() == ["the ledger has been copied for it"]
        assert boot.read_text() == genuine


async def test_one_that_cannot_start_is_copied_once(cluster: Path) -> None:
    """A broken copy is replaced after two failures; the primary is not copied over and over."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        await pair.replica.stop()
        (cluster / "data" / "replica" / "data" / "global" / "pg_control").unlink()
        endings = await fail_to_start(pair, 3)
        assert ["copied" in ending for ending in endings] == [False, False, True]
        (cluster / "data" / "replica" / "data" / "global" / "pg_control").unlink()
        assert not any("copied" in ending for ending in await fail_to_start(pair, 3))


async def fail_to_start(pair: Replicated, times: int) -> list[str]:
    """Start the replica so many times, and hear why it ended."""
    endings = []
    for _ in range(times):
        await pair.replica.start()
        with trio.fail_after(30):
            endings.append(await pair.replica.died())
    return endings


async def test_without_room_there_is_none_and_nothing_is_written(cluster: Path) -> None:
    """The room of the payments is not a replica's to take; the primary keeps no WAL for it."""
    free = shutil.disk_usage(cluster).free
    async with replicated(cluster, free_bytes_min=free) as pair:
        await pair.do(f"SELECT pg_drop_replication_slot('{SLOT}')")
        [ending] = await fail_to_start(pair, 1)
        assert "no room for a replica" in ending
        assert not (cluster / "data" / "replica").exists()
        assert await wal_status(pair) == ""


async def test_a_copy_that_failed_is_made_once_when_it_can_be(cluster: Path) -> None:
    """What kept it from being made is no failure of the server's, which would ask for another."""
    async with replicated(cluster) as pair:
        blocked = cluster / "data" / "replica"
        shutil.rmtree(blocked, ignore_errors=True)
        blocked.touch()
        [ending] = await fail_to_start(pair, 1)
        assert "copied" not in ending
        blocked.unlink()
        assert await pair.bring_up() == ["the ledger has been copied for it"]


async def test_a_primary_that_is_away_is_waited_for(cluster: Path) -> None:
    """The start fails at nothing, and throws no copy away; who asks later hears the reason."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        await pair.replica.stop()
        await pair.primary.stop()
        [ending] = await fail_to_start(pair, 1)
        assert "ConnectionLostError" in ending
        await pair.primary.start()
        assert await pair.bring_up() == []


@asynccontextmanager
async def orphan_running(cluster: Path) -> AsyncIterator[Path]:
    """Run a replica's server that nobody looks after, as a killed stack leaves it: its folder."""
    layout, uid = Layout(cluster / "data", "replica"), server_uid()
    identity = choose_identity(uid, None)
    orphan = Postmaster(layout=layout, socket_dir=cluster / "run-replica", settings=TEST_SETTINGS)
    follow = (
        f"host={cluster / 'run'} user=turnout_replica passfile={password_file(layout.data_dir)}"
    )
    await orphan.launch(
        await find_binaries("", layout.binaries, identity),
        identity,
        {
            "primary_conninfo": follow,
            "primary_slot_name": SLOT,
            "wal_retrieve_retry_interval": "10",
            "max_connections": str(TEST_SETTINGS.max_connections),
        },
    )
    await orphan.until_ready()
    assert server_processes(layout.data, identity)
    try:
        yield layout.data
    finally:
        await orphan.stop(at_once=True)


async def test_one_that_a_killed_stack_left_is_ended_before_it_is_copied_anew(
    cluster: Path,
) -> None:
    """A server whose files are replaced beneath it would go on in nobody's care."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        await pair.replica.stop()
        async with orphan_running(cluster) as data:
            (cluster / "data" / "replica.boot").write_text("another boot")
            await pair.replica.start()
            assert server_processes(data, choose_identity(server_uid(), None)) == []
        assert await pair.bring_up() == ["the ledger has been copied for it"]


async def test_a_primary_without_a_replica_keeps_no_wal_for_it(cluster: Path) -> None:
    """Started without one it ends what an earlier run left, and drops its slot for good."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        await pair.replica.stop()
    assert password_file(cluster / "data").exists()
    alone = EmbeddedPostgres(
        data_dir=cluster / "data",
        socket_dir=cluster / "run",
        settings=TEST_SETTINGS,
        uid=server_uid(),
    )
    pair = make_pair(cluster)
    pair.primary = alone
    async with orphan_running(cluster) as data:
        await alone.start()
        try:
            assert await wal_status(pair) == ""
            assert server_processes(data, choose_identity(server_uid(), None)) == []
            assert not password_file(cluster / "data").exists()
        finally:
            await alone.stop()


async def test_a_slot_that_stays_is_told_and_keeps_no_primary_from_starting(
    cluster: Path,
) -> None:
    """What it pins has a limit; payments matter more."""
    async with replicated(cluster) as pair:
        await pair.bring_up()
        powerless = await Connection.open(pair("turnout_api"), connect_timeout_s=5)
        with capture_logs() as logs:
            await drop_former_slot(powerless)
        await powerless.aclose()
        assert [line["event"] for line in logs] == [
            "the slot of a former replica cannot be dropped"
        ]
