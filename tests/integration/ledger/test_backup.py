"""A backup of our own Postgres: taken while it works, verified, made into a data folder again."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from ledger.connection import Connection
from ledger.embedded import EmbeddedPostgres
from ledger.embedded.backup import (
    COPY,
    DOCUMENT,
    PASSWORD,
    BackupError,
    copy_cluster,
    read_backup,
    seal,
)
from ledger.embedded.binaries import find_binaries
from ledger.embedded.identity import Identity, choose_identity
from ledger.embedded.orphans import server_processes
from ledger.embedded.restoring import restore
from ledger.errors import EmbeddedPostgresError
from ledger.queries import Query
from tests.support.postgres import TEST_SETTINGS, open_folder, server_uid

ROOT = Path(__file__).parents[3]
COUNT = Query("count_kept", "SELECT count(*), max(n) FROM kept")
TIMELINE = Query("timeline", "SELECT timeline_id FROM pg_control_checkpoint()")


def server_in(folder: Path) -> EmbeddedPostgres:
    """A server on `folder`, not started."""
    return EmbeddedPostgres(
        data_dir=folder / "data",
        socket_dir=folder / "run",
        settings=TEST_SETTINGS,
        uid=server_uid(),
    )


async def ask(server: EmbeddedPostgres, query: Query) -> tuple[object, ...]:
    """One row of a running server."""
    session = await Connection.open(server.superuser_dsn(), connect_timeout_s=10)
    try:
        return tuple((await session.run(query)).rows()[0])
    finally:
        await session.aclose()


async def back_up(server: EmbeddedPostgres, folder: Path, to: Path) -> None:
    """As the command does it."""
    ourselves = Identity(os.geteuid(), os.getegid(), switched=False)
    binaries = await find_binaries("", folder / "data" / "postgres-bin", ourselves)
    password = (folder / "data" / "postgres.password").read_text().strip()
    backup = await copy_cluster(binaries, socket_dir=folder / "run", password=password, to=to)
    seal(to, backup)


async def make_backup(folder: Path) -> None:
    """A server with a thousand rows, backed up; then a thousand more, which the backup lacks."""
    server = server_in(folder)
    await server.start()
    try:
        session = await Connection.open(server.superuser_dsn(), connect_timeout_s=10)
        await session.script("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        await back_up(server, folder, folder / "backup")
        await session.script("INSERT INTO kept SELECT generate_series(1001, 2000)")
        await session.aclose()
    finally:
        await server.stop()


@pytest.fixture(scope="module")
def backed_up() -> Iterator[Path]:
    """A folder with a stopped server in `data` and its backup in `backup`."""
    with open_folder() as folder:
        trio.run(make_backup, folder)
        yield folder


@pytest.fixture
def copy(backed_up: Path) -> Iterator[Path]:
    """A copy of the backup, to be tampered with."""
    target = backed_up / "copy"
    shutil.copytree(backed_up / "backup", target, symlinks=True)
    yield target
    shutil.rmtree(target)


async def test_what_was_committed_before_is_restored_on_another_timeline(
    backed_up: Path, open_tmp_path: Path
) -> None:
    """And nothing that came after, nor is anything asked for from elsewhere."""
    data_dir = open_tmp_path / "data"
    data_dir.mkdir()
    data_dir.chmod(0o711)
    done = await restore(
        backed_up / "backup", data_dir=data_dir, settings=TEST_SETTINGS, uid=server_uid()
    )
    assert (done.backup.timeline, done.timeline) == (1, 2)
    server = server_in(open_tmp_path)
    await server.start()
    try:
        assert await ask(server, COUNT) == (1_000, 1_000)
        assert await ask(server, TIMELINE) == (2,)
    finally:
        await server.stop()
    left = (data_dir / "postgres/data/postgresql.auto.conf").read_text()
    assert "restore_command" not in left
    assert "hot_standby" not in left


RESTORE_AND_DIE = """
import os, sys, trio
from functools import partial
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from ledger.embedded.restoring import restore
from tests.support.postgres import TEST_SETTINGS, server_uid
async def die(session, timeline):
    os.kill(os.getpid(), 9)
data_dir = Path(sys.argv[2])
trio.run(partial(restore, Path(sys.argv[1]), data_dir=data_dir, settings=TEST_SETTINGS,
    uid=server_uid(), before_others=die))
"""


async def test_a_restore_that_dies_leaves_no_ledger_and_can_be_made_again(
    backed_up: Path, open_tmp_path: Path
) -> None:
    """Killed when the server runs and the last deed is not done; nobody starts on what is there."""
    data_dir = open_tmp_path / "data"
    data_dir.mkdir()
    data_dir.chmod(0o711)
    source = backed_up / "backup"
    done = await trio.run_process(
        [sys.executable, "-c", RESTORE_AND_DIE, str(source), str(data_dir), str(ROOT)],
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    orphans = data_dir / "postgres" / "data.restoring"
    identity = choose_identity(server_uid(), None)
    assert server_processes(orphans, identity)
    with pytest.raises(EmbeddedPostgresError, match="did not come to its end"):
        await server_in(open_tmp_path).start()
    await restore(source, data_dir=data_dir, settings=TEST_SETTINGS, uid=server_uid())
    assert not server_processes(orphans, identity)
    server = server_in(open_tmp_path)
    await server.start()
    try:
        assert await ask(server, COUNT) == (1_000, 1_000)
    finally:
        await server.stop()
    assert [path.name for path in (data_dir / "postgres").iterdir()] == ["data"]


async def test_nobody_starts_a_server_while_a_ledger_is_restored(
    backed_up: Path, open_tmp_path: Path
) -> None:
    """The folder is the restore's until it has ended, and what it removes is its own."""
    data_dir = open_tmp_path / "data"
    data_dir.mkdir()
    data_dir.chmod(0o711)

    async def start_beside(_: Connection, timeline: int) -> None:
        assert timeline == 2
        with pytest.raises(EmbeddedPostgresError, match="another process runs Postgres on"):
            await server_in(open_tmp_path).start()
        raise BackupError("enough")

    with pytest.raises(BackupError, match="enough"):
        await restore(
            backed_up / "backup",
            data_dir=data_dir,
            settings=TEST_SETTINGS,
            uid=server_uid(),
            before_others=start_beside,
        )
    left = {path.name for path in data_dir.iterdir()}
    assert left <= {"postgres.lock", "postgres-bin", "postgres.log"}


@pytest.mark.parametrize("unwritable", [PASSWORD, DOCUMENT])
async def test_a_backup_that_fails_at_its_end_leaves_nothing_either(
    backed_up: Path, open_tmp_path: Path, unwritable: str
) -> None:
    """A copy of the ledger without its password or its document is none, and in the way."""
    to = open_tmp_path / "failed"

    async def block() -> None:
        while not (to / COPY).exists():
            await trio.sleep(0.001)
        (to / unwritable).mkdir()

    server = server_in(backed_up)
    await server.start()
    try:
        with pytest.RaisesGroup(IsADirectoryError):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(block)
                await back_up(server, backed_up, to)
    finally:
        await server.stop()
    assert [path.name for path in to.iterdir()] == [unwritable]


async def test_a_data_directory_with_a_ledger_is_left_alone(backed_up: Path) -> None:
    """Nothing is ever overwritten."""
    before = sorted(path.stat().st_mtime_ns for path in (backed_up / "data").rglob("*"))
    with pytest.raises(BackupError, match="has a ledger already"):
        await restore(
            backed_up / "backup",
            data_dir=backed_up / "data",
            settings=TEST_SETTINGS,
            uid=server_uid(),
        )
    assert sorted(path.stat().st_mtime_ns for path in (backed_up / "data").rglob("*")) == before


def largest_table(copy: Path) -> Path:
    """A file of the copy that only Postgres' own manifest covers."""
    return max((copy / "postgres" / "base").rglob("*"), key=lambda path: path.stat().st_size)


def newest_wal(copy: Path) -> Path:
    """The last segment of WAL that recovery needs."""
    return max(path for path in (copy / "postgres" / "pg_wal").iterdir() if path.is_file())


@pytest.mark.parametrize(
    ("find", "finding"),
    [
        (largest_table, "checksum mismatch"),
        (newest_wal, "WAL parsing failed"),
        (lambda copy: copy / "postgres" / "backup_manifest", "was changed"),
        (lambda copy: copy / "postgres.password", "was changed"),
        (lambda copy: copy / DOCUMENT, "was changed|is no backup"),
    ],
    ids=["table", "wal", "manifest", "password", "document"],
)
async def test_a_backup_with_one_flipped_byte_is_refused(
    copy: Path, open_tmp_path: Path, find: object, finding: str
) -> None:
    """Wherever it is; and nothing is left of the attempt."""
    assert callable(find)
    path = find(copy)
    data = bytearray(path.read_bytes())
    data[min(len(data) // 2, 60)] ^= 0x01
    path.chmod(0o600)
    path.write_bytes(data)
    await refused(copy, open_tmp_path, finding)


async def test_a_backup_that_lacks_a_file_is_refused(copy: Path, open_tmp_path: Path) -> None:
    """One that did not come to its end has no document."""
    (copy / DOCUMENT).unlink()
    await refused(copy, open_tmp_path, r"no whole backup: .*turnout-backup\.json is missing")


async def test_a_backup_that_lacks_a_table_is_refused(copy: Path, open_tmp_path: Path) -> None:
    """Its manifest knows of it."""
    largest_table(copy).unlink()
    await refused(copy, open_tmp_path, "not on disk|is present in the manifest")


async def refused(copy: Path, folder: Path, finding: str) -> None:
    """See a restore fail, and leave nothing."""
    data_dir = folder / "data"
    data_dir.mkdir()
    data_dir.chmod(0o711)
    with pytest.raises(BackupError, match=finding):
        await restore(copy, data_dir=data_dir, settings=TEST_SETTINGS, uid=server_uid())
    assert {path.name for path in data_dir.iterdir()} <= {"postgres.lock", "postgres-bin"}


async def test_a_folder_with_something_in_it_is_not_written_to(backed_up: Path) -> None:
    """Nor is a backup ever put over another."""
    before = read_backup(backed_up / "backup")
    server = server_in(backed_up)
    await server.start()
    try:
        with pytest.raises(BackupError, match="is not empty"):
            await back_up(server, backed_up, backed_up / "backup")
    finally:
        await server.stop()
    assert read_backup(backed_up / "backup") == before


async def test_a_copy_that_is_broken_off_is_removed(backed_up: Path) -> None:
    """The same folder can be used again; one whose disk is not there is not made."""
    server = server_in(backed_up)
    await server.start()
    try:
        begun = False
        with trio.CancelScope() as ctrl_c:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(back_up, server, backed_up, backed_up / "broken")
                while not (backed_up / "broken" / "postgres").exists():
                    await trio.sleep(0.001)
                begun = True
                ctrl_c.cancel()
        assert begun
        assert not list((backed_up / "broken").iterdir())
        with pytest.raises(BackupError, match="is its disk mounted"):
            await back_up(server, backed_up, backed_up / "unmounted" / "broken")
        assert not (backed_up / "unmounted").exists()
        await back_up(server, backed_up, backed_up / "broken")
    finally:
        await server.stop()
    read_backup(backed_up / "broken")
