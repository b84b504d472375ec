"""A backup made into a data folder again.

Theory of operation
-------------------
Files are copied beside their place (`data.restoring`) and held to the backup's digests where they
now lie. Then the server starts once, there. It replays the backup's own WAL and no other
(`recovery.signal`, with a `restore_command` that finds nothing), and begins a new *timeline*. That
is what tells the restored ledger from the one it was copied from: numbers in the WAL are given out
anew from here, and whoever has seen the old ones can tell. The relay compares the place where the
old timeline was left with where the stream ends (`ledger.relay.starting`).

Where the event stream is there, it has changes that the ledger lacks from now on. They are noted
before anybody else uses the ledger (`ledger.relay.restores`).

The rename to `data` is the last step: a data folder that exists is whole, with all that was to be
done first. A restore that dies before leaves `data.restoring`, and no ledger is made or started
beside it (`ledger.embedded.cluster`); the next restore clears it away.

Where the event stream is lost as well, a new one will begin with what the tables hold. The cursors
of its consumers, which are in the ledger, count records of the old one: they are removed, and the
consumers begin with the new stream. So are events that were parked. An event keeps its id, so
nothing is done twice.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from chassis.durable import sync_folder, write_durably
from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.embedded.backup import (
    COPY,
    PASSWORD,
    Backup,
    BackupError,
    copy_tree,
    read_backup,
    verify_copy,
)
from ledger.embedded.binaries import Binaries, find_binaries
from ledger.embedded.cluster import SUPERUSER, Layout, check_reach
from ledger.embedded.files import FolderLock
from ledger.embedded.identity import Identity, choose_identity
from ledger.embedded.orphans import clear_orphans
from ledger.embedded.postmaster import Postmaster
from ledger.embedded.server import DATABASE, server_parameters
from ledger.queries import Query

RECOVERY_SIGNAL: Final = "recovery.signal"
AUTO_CONF: Final = "postgresql.auto.conf"
CONNECT_S: Final = 10.0
# Asks nobody for WAL, for the backup has all that it needs, and later WAL is not wanted; and lets
# nobody in before that is replayed.
_RECOVERY: Final = {"restore_command": "false", "hot_standby": "off"}
_IDENTITY: Final = Query(
    "restored_identity",
    # By the WAL that is written now: the control file learns of the timeline only later.
    "SELECT system_identifier::text, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) "
    "FROM pg_control_system()",
)

BeforeOthers = Callable[[Connection, int], Awaitable[None]]

_log = get_logger(__name__)


class Restored(msgspec.Struct, frozen=True):
    """What became of a backup.

    Attributes:
        backup: which it was.
        timeline: that the restored cluster is on.
    """

    backup: Backup
    timeline: int


async def restore(
    source: Path,
    *,
    data_dir: Path,
    settings: Ledger,
    uid: int | None,
    forget_cursors: bool = False,
    before_others: BeforeOthers | None = None,
) -> Restored:
    """Make the ledger of a data directory from a backup. There must be none in it.

    Args:
        source: the backup.
        data_dir: the product's, absolute; the server's folders are made in it.
        settings: the ledger's section.
        uid: who the server runs as; needed as root.
        forget_cursors: the event stream is lost, so consumers begin anew.
        before_others: does what must be done before anybody else uses the restored ledger. It gets
            a session of the superuser and the timeline.

    Raises:
        BackupError: the backup cannot be trusted, or the data directory has a ledger. Nothing is
            left of the attempt.
        EmbeddedPostgresError: Postgres cannot be started on it. Likewise.
        OSError: the files cannot be written. Likewise.
    """
    backup = read_backup(source)
    layout = Layout(data_dir)
    identity = choose_identity(uid, None)
    lock = FolderLock(layout.lock)
    lock.acquire()
    try:
        _see_that_there_is_none(layout)
        check_reach(layout, identity)
        binaries = await find_binaries(settings.bindir, layout.binaries, identity)
        _check_version(source, binaries)
        fresh = Layout(data_dir, data_name=layout.restoring.name)
        await clear_orphans(fresh.data, identity, stop_timeout_s=0.0)
        try:
            _remove(layout)  # of a restore that died
            await _place(source, fresh, binaries, identity)
            password = (source / PASSWORD).read_text()
            async with _running(fresh, settings, binaries, identity) as server:
                dsn = server.dsn(SUPERUSER, password, DATABASE)
                timeline = await _finish(dsn, backup, forget_cursors, before_others)
            write_durably(layout.password, password.encode(), mode=0o600)
            fresh.data.rename(layout.data)
            sync_folder(layout.home)
        except BaseException:
            _remove(layout)
            raise
    finally:
        lock.release()
    _log.info("ledger restored", system_identifier=backup.system_identifier, timeline=timeline)
    return Restored(backup, timeline)


def _see_that_there_is_none(layout: Layout) -> None:
    found = [layout.data] if layout.restoring.exists() else [layout.data, layout.password]
    for path in found:
        if path.exists():
            raise BackupError(
                f"{layout.data_dir} has a ledger already ({path.name}); "
                "restore into a data directory without one, or move it away first"
            )


def _check_version(source: Path, binaries: Binaries) -> None:
    found = (source / COPY / "PG_VERSION").read_text().strip()
    if found != str(binaries.major):
        raise BackupError(
            f"{source} was written by Postgres {found}, the installed one is {binaries.version}; "
            f"set ledger.bindir to a Postgres {found}"
        )


async def _place(source: Path, fresh: Layout, binaries: Binaries, identity: Identity) -> None:
    """Copy, verify the copy, and have it recover from the backup alone."""
    fresh.home.mkdir(mode=0o700, exist_ok=True)
    await copy_tree(source / COPY, fresh.data)
    await verify_copy(binaries, fresh.data)
    (fresh.data / RECOVERY_SIGNAL).touch(mode=0o600)
    with (fresh.data / AUTO_CONF).open("a") as file:
        file.write("".join(f"\n{name} = '{value}'" for name, value in _RECOVERY.items()) + "\n")
    identity.take_tree(fresh.data)
    fresh.data.chmod(0o700)
    identity.take(fresh.home)
    fresh.home.chmod(0o700)


async def _finish(
    dsn: str,
    backup: Backup,
    forget_cursors: bool,  # noqa: FBT001  of our own caller's making
    before_others: BeforeOthers | None,
) -> int:
    """See whose cluster recovered and on which timeline, and do what nobody may be before of."""
    session = await Connection.open(dsn, connect_timeout_s=CONNECT_S)
    try:
        for name in _RECOVERY:
            await session.script(f"ALTER SYSTEM RESET {name}")
        [(system, written_to)] = (await session.run(_IDENTITY)).rows()
        timeline = int(written_to, 16)
        if system != backup.system_identifier or timeline <= backup.timeline:
            raise BackupError(f"the restored cluster is {system} on timeline {timeline}")
        if forget_cursors:
            await session.script("DELETE FROM stream_cursors; DELETE FROM stream_parked")
        if before_others is not None:
            await before_others(session, timeline)
    finally:
        await session.aclose()
    return timeline


@contextlib.asynccontextmanager
async def _running(
    fresh: Layout, settings: Ledger, binaries: Binaries, identity: Identity
) -> AsyncIterator[Postmaster]:
    """Start the server on what was placed, and stop it in good order."""
    with _open_folder() as folder:
        server = Postmaster(layout=fresh, socket_dir=folder / "pg", settings=settings)
        try:
            await server.launch(binaries, identity, server_parameters(settings))
            await server.until_ready()
            yield server
        finally:
            await server.stop()


@contextlib.contextmanager
def _open_folder() -> Iterator[Path]:
    """A short path for a socket, which the server's user may pass through."""
    with tempfile.TemporaryDirectory(prefix="turnout-restore-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def _remove(layout: Layout) -> None:
    """Leave nothing of an attempt, what says that there was one last; we hold the folder's lock."""
    if layout.restoring.exists():
        layout.password.unlink(missing_ok=True)
        shutil.rmtree(layout.restoring, ignore_errors=True)
        with contextlib.suppress(OSError):  # a disk of its own, or with something else in it
            layout.home.rmdir()
