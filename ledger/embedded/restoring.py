"""A backup made into a data folder again.

Theory of operation
-------------------
Files are copied beside their place, held to the backup's digests where they now lie, and renamed:
a data folder that exists is whole. Then the server starts once. It replays the backup's own WAL and
no other (`recovery.signal`, with a `restore_command` that finds nothing), and begins a new
*timeline*. That is what tells the restored ledger from the one it was copied from: numbers in the
WAL are given out anew from here, and whoever has seen the old ones can tell. The relay compares the
place where the old timeline was left with where the stream ends (`ledger.relay.starting`).

Where the event stream is there, it has changes that the ledger lacks from now on. They are noted
before anybody else uses the ledger (`ledger.relay.restores`).

Where the event stream is lost as well, a new one will begin with what the tables hold. The cursors
of its consumers, which are in the ledger, count records of the old one: they are removed, and the
consumers begin with the new stream. So are events that were parked. An event keeps its id, so
nothing is done twice.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
from ledger.embedded.cluster import Layout
from ledger.embedded.files import FolderLock
from ledger.embedded.identity import Identity, choose_identity
from ledger.embedded.server import EmbeddedPostgres
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
        binaries = await find_binaries(settings.bindir, layout.binaries, identity)
        _check_version(source, binaries)
        try:
            await _place(source, layout, binaries, identity)
            lock.release()  # the server takes it
            server = partial(EmbeddedPostgres, data_dir=data_dir, settings=settings, uid=uid)
            timeline = await _start_once(server, backup, forget_cursors, before_others)
        except BaseException:
            _remove(layout)
            raise
    finally:
        lock.release()
    return Restored(backup, timeline)


def _see_that_there_is_none(layout: Layout) -> None:
    for path in (layout.data, layout.password):
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


async def _place(source: Path, layout: Layout, binaries: Binaries, identity: Identity) -> None:
    """Copy, verify the copy, and put it where the server looks."""
    layout.home.mkdir(mode=0o700, exist_ok=True)
    fresh = layout.home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)  # of a restore that did not end
    await copy_tree(source / COPY, fresh)
    await verify_copy(binaries, fresh)
    (fresh / RECOVERY_SIGNAL).touch(mode=0o600)
    with (fresh / AUTO_CONF).open("a") as file:
        file.write("".join(f"\n{name} = '{value}'" for name, value in _RECOVERY.items()) + "\n")
    identity.take_tree(fresh)
    fresh.chmod(0o700)
    write_durably(layout.password, (source / PASSWORD).read_bytes(), mode=0o600)
    fresh.rename(layout.data)
    identity.take(layout.home)
    layout.home.chmod(0o700)
    sync_folder(layout.home)


async def _start_once(
    make_server: Callable[..., EmbeddedPostgres],
    backup: Backup,
    forget_cursors: bool,  # noqa: FBT001  of our own two callers' making
    before_others: BeforeOthers | None,
) -> int:
    """Recover, see whose cluster it is and on which timeline, and stop again."""
    with _open_folder() as folder:
        server = make_server(socket_dir=folder / "pg")
        await server.start()
        try:
            session = await Connection.open(server.superuser_dsn(), connect_timeout_s=CONNECT_S)
            try:
                for name in _RECOVERY:
                    await session.script(f"ALTER SYSTEM RESET {name}")
                if forget_cursors:
                    await session.script("DELETE FROM stream_cursors; DELETE FROM stream_parked")
                [(system, written_to)] = (await session.run(_IDENTITY)).rows()
                timeline = int(written_to, 16)
                if before_others is not None:
                    await before_others(session, timeline)
            finally:
                await session.aclose()
        finally:
            await server.stop()
    if system != backup.system_identifier or timeline <= backup.timeline:
        raise BackupError(f"the restored cluster is {system} on timeline {timeline}")
    _log.info("ledger restored", system_identifier=system, timeline=timeline)
    return timeline


@contextmanager
def _open_folder() -> Iterator[Path]:
    """A short path for a socket, which the server's user may pass through."""
    with tempfile.TemporaryDirectory(prefix="turnout-restore-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def _remove(layout: Layout) -> None:
    """Leave nothing of an attempt: there was no ledger before."""
    shutil.rmtree(layout.home, ignore_errors=True)
    layout.password.unlink(missing_ok=True)
