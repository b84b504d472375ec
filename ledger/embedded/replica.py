"""A replica of our own Postgres, for reading: copied from it, following its WAL, copied again.

Theory of operation
-------------------
A replica holds nothing that the primary does not, and nobody waits for it. Everything here follows
from that.

It is *copied*, not looked after. `pg_basebackup` makes the copy and the replication slot in one go,
into a folder beside, renamed when it is whole. From then on the replica follows the WAL, over the
primary's Unix socket. Where it cannot go on, the copy is thrown away and made again: the slot is
gone (somebody dropped it, or the ledger was restored from a backup, which has no slots) or was
given up (the replica was away for more WAL than the primary keeps); the primary has less WAL than
the replica has replayed, for its disk was set back to a snapshot; the copy is of another major
version; the server failed to start on it `FAILURES_COPIED_AFTER` times in a row (once: if another
copy does not help, a third will not either).

It *syncs nothing to disk* (`fsync = off`), so it takes no part of the disk that commits wait for. A
killed process loses nothing by that, a machine that went down may. So the copy is made again after
a restart of the machine, which is known by the kernel's boot id.

It *never keeps anybody waiting*. `start` fails at nothing and only launches; making the copy,
recovering and every failure are the business of `died`, which then says why there is no replica, so
that the supervisor starts it again, with its backoff. Payments, and `turnout up`, do without.

    <data_dir>/replica/data      the copy; beside it `data.new` while one is made
    <data_dir>/replica.log, .lock
    <data_dir>/replica.pgpass    how it logs in at the primary: role turnout_replica
    <data_dir>/replica.boot      the boot during which the copy was made

`hot_standby_feedback` stays off: a reader here must not keep the primary from vacuuming there. The
price is that replay may have to end a query that reads what was vacuumed; whoever asked then asks
the primary.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio
from psycopg.conninfo import make_conninfo

from chassis.causes import in_words
from chassis.durable import write_durably
from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.embedded.backup import run_program
from ledger.embedded.binaries import Binaries, find_binaries
from ledger.embedded.cluster import Layout
from ledger.embedded.files import FolderLock
from ledger.embedded.former import ORPHANS_WAIT_S, password_file
from ledger.embedded.identity import Identity, choose_identity
from ledger.embedded.orphans import clear_orphans
from ledger.embedded.postmaster import Postmaster
from ledger.embedded.server import DATABASE, server_parameters
from ledger.embedded.slot import (
    SLOT,
    SlotState,
    drop_slot,
    read_flushed,
    read_replayed,
    read_slot,
    short_session,
)
from ledger.errors import EmbeddedPostgresError, LedgerError
from ledger.roles import REPLICA

FAILURES_COPIED_AFTER: Final = 2  # starts in a row that came to nothing; another copy may mend it
CHECK_S: Final = 2.0  # between looks whether the primary is one that can still be followed
CONNECT_S: Final = 5.0
REPLAY_DELAY_MAX_MS: Final = 1_000  # a query that replay has to wait for is ended after this

SLOT_LOST: Final = "the primary has given up its replication slot"
SET_BACK: Final = "the primary was set back: it has less WAL than was replayed"

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_log = get_logger(__name__)


@attrs.frozen(kw_only=True)
class Primary:
    """Whom to follow.

    Attributes:
        socket_dir: The folder of its Unix socket.
        superuser_dsn: Gives a DSN of its superuser, once it runs.
        password: Of role turnout_replica.
    """

    socket_dir: Path
    superuser_dsn: Callable[[], str]
    password: str = attrs.field(repr=False)


class EmbeddedReplica:
    """A replica on one data folder, run by this process; a resource of the supervisor's.

    Args:
        data_dir: The product's data folder; the replica keeps to `replica*` in it.
        socket_dir: A short path for its Unix socket; made if missing, writable for `uid`.
        settings: The ledger's section, the primary's own.
        primary: Whom to follow.
        uid: Who the server runs as, the primary's; needed as root, None otherwise.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        socket_dir: Path,
        settings: Ledger,
        primary: Primary,
        uid: int | None = None,
    ) -> None:
        self._layout = Layout(data_dir.absolute(), "replica")
        self._settings = settings
        self._primary = primary
        self._uid = uid
        self._lock = FolderLock(self._layout.lock)
        self._postmaster = Postmaster(layout=self._layout, socket_dir=socket_dir, settings=settings)
        self._failures = 0
        self._set_back = False
        self._why_copy = ""  # found by `start`, mended by `died`
        self._why_down = ""

    @property
    def process_id(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._postmaster.process_id

    def dsn(self, role: str, password: str) -> str:
        """Address the replica as a role of the ledger's; it has the primary's roles."""
        return self._postmaster.dsn(role, password, DATABASE)

    async def start(self) -> None:
        """Launch the server, unless there is something to do first, which is left to `died`."""
        self._why_copy = self._why_down = ""
        try:
            identity = choose_identity(self._uid, None)
            self._postmaster.check_socket_path()
            self._lock.acquire()
            await self._end_orphans(identity)
            binaries = await find_binaries(self._settings.bindir, self._layout.binaries, identity)
            self._why_copy = why_copy(
                found_version=_version_of(self._layout.data),
                version=str(binaries.major),
                same_boot=_read(self._boot_file) == _read(_BOOT_ID) != "",
                slot=await self._read_slot(),
                set_back=self._set_back,
                failures=self._failures,
            )
            if not self._why_copy:
                await self._launch(binaries, identity)
        except (LedgerError, OSError) as error:
            self._why_down = in_words(error)

    async def died(self) -> str:
        """Make the copy if there is none to start on, else watch the server; says why it ended."""
        if self._why_down:
            return self._why_down
        try:
            if self._why_copy:
                return await self._copy()
            await self._postmaster.until_ready()
        except (LedgerError, OSError) as error:
            self._failures += not self._why_copy  # a copy that comes to nothing is no start
            await self._stop_server()
            return in_words(error)
        self._failures = 0
        _log.info("replica follows", process_id=self.process_id)
        return await self._watch()

    async def stop(self) -> None:
        """Stop the server and let go of its folder; bounded, and not to be canceled."""
        await self._stop_server()
        self._lock.release()

    def kill(self) -> None:
        """Stop it at once."""
        if (process_id := self.process_id) is not None:
            os.kill(process_id, signal.SIGQUIT)

    # -------------------------------------------------------------------------------- inside

    @property
    def _boot_file(self) -> Path:
        return self._layout.data_dir / "replica.boot"

    @property
    def _password_file(self) -> Path:
        return password_file(self._layout.data_dir)

    async def _read_slot(self) -> SlotState:
        dsn = self._primary.superuser_dsn()
        async with short_session(dsn, connect_timeout_s=CONNECT_S) as session:
            return await read_slot(session)

    async def _launch(self, binaries: Binaries, identity: Identity) -> None:
        password = self._primary.password.replace("\\", "\\\\").replace(":", "\\:")
        write_durably(self._password_file, f"*:*:*:{REPLICA}:{password}\n".encode(), mode=0o600)
        identity.take(self._password_file)
        await self._postmaster.launch(binaries, identity, self._parameters())

    def _parameters(self) -> dict[str, str]:
        return server_parameters(self._settings) | {
            "primary_conninfo": make_conninfo(
                host=str(self._primary.socket_dir),
                port=5432,
                user=REPLICA,
                passfile=str(self._password_file),
                require_auth="scram-sha-256",
            ),
            "primary_slot_name": SLOT,
            "hot_standby": "on",
            "hot_standby_feedback": "off",
            "max_standby_streaming_delay": str(REPLAY_DELAY_MAX_MS),
            "wal_retrieve_retry_interval": "200",  # ms: a primary that restarts is found again
            "fsync": "off",
        }

    async def _stop_server(self) -> None:
        """End it and all its processes; what survives even SIGKILL must not take the stack down.

        At once, for it has nothing to write; and its receiver must not outlive it, or it would
        keep the primary's walsender (`ledger.embedded.slot`).
        """
        with trio.CancelScope(shield=True):
            try:
                await self._postmaster.stop(at_once=True)
                await self._end_orphans(choose_identity(self._uid, None))
            except EmbeddedPostgresError as error:
                _log.critical("the replica cannot be ended", reason=str(error))

    async def _end_orphans(self, identity: Identity) -> None:
        await clear_orphans(
            self._layout.data, identity, stop_timeout_s=0.0, kill_wait_s=ORPHANS_WAIT_S
        )

    async def _watch(self) -> str:
        """Wait for the server's end, or for the end of what it could follow."""
        ending = ""
        async with trio.open_nursery() as nursery:

            async def until_died() -> None:
                nonlocal ending
                status = await self._postmaster.died()
                ending = ending or (f"exit status {status}" if status >= 0 else f"signal {-status}")
                nursery.cancel_scope.cancel(reason="the replica has ended")

            async def until_left_behind() -> None:
                nonlocal ending
                ending = await self._until_left_behind()
                await self._stop_server()

            nursery.start_soon(until_died)
            nursery.start_soon(until_left_behind)
        return ending

    async def _until_left_behind(self) -> str:
        """Wait until the primary can be followed no further; says why."""
        while True:
            try:
                if why := await self._why_left_behind():
                    return why
            except LedgerError as error:  # one is away: its own unit sees to it
                _log.debug("standing of the replica unknown", reason=str(error))
            await trio.sleep(CHECK_S)

    async def _why_left_behind(self) -> str:
        primary, here = self._primary.superuser_dsn(), self.dsn(REPLICA, self._primary.password)
        async with short_session(primary, connect_timeout_s=CONNECT_S) as session:
            if not (await read_slot(session)).holds:
                return SLOT_LOST
            async with short_session(here, connect_timeout_s=CONNECT_S) as own:
                replayed = await read_replayed(own)
            flushed = await read_flushed(session)
        if replayed > flushed:  # asked for later, so it has all that was ever sent
            self._set_back = True
            self._boot_file.unlink(missing_ok=True)  # whoever starts it next knows it, too
            return SET_BACK
        return ""

    async def _copy(self) -> str:
        """Throw away what there is, and copy the primary."""
        _log.warning("the ledger is copied for its replica", because=self._why_copy)
        identity = choose_identity(self._uid, None)
        home = self._layout.home
        await trio.to_thread.run_sync(_remove, home, self._boot_file)
        dsn = self._primary.superuser_dsn()
        async with short_session(dsn, connect_timeout_s=CONNECT_S) as session:
            await drop_slot(session)
        await trio.to_thread.run_sync(self._check_room)
        home.mkdir(mode=0o700)
        fresh = home / "data.new"
        await self._run_basebackup(fresh)
        (fresh / "standby.signal").touch(mode=0o600)
        await trio.to_thread.run_sync(identity.take_tree, fresh)
        fresh.rename(self._layout.data)
        identity.take(home)
        write_durably(self._boot_file, _read(_BOOT_ID).encode(), mode=0o600)
        self._set_back = False
        # Another copy would not help a second time; one made for another reason may.
        self._failures = self._failures + 1 if self._failures >= FAILURES_COPIED_AFTER else 0
        return "the ledger has been copied for it"

    async def _run_basebackup(self, to: Path) -> None:
        ourselves = Identity(os.geteuid(), os.getegid(), switched=False)
        binaries = await find_binaries(self._settings.bindir, self._layout.binaries, ourselves)
        command: list[str | Path] = [
            binaries.folder / "pg_basebackup",
            f"--host={self._primary.socket_dir}",
            "--port=5432",
            f"--username={REPLICA}",
            "--no-password",
            f"--pgdata={to}",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--create-slot",
            f"--slot={SLOT}",
            "--no-manifest",
            "--no-sync",
            "--label=turnout replica",
        ]
        await run_program(command, {"PGPASSWORD": self._primary.password})

    def _check_room(self) -> None:
        """A copy must not take the room that payments need; raises EmbeddedPostgresError."""
        needed = 2 * self._settings.free_bytes_min
        for folder, _, names in os.walk(Layout(self._layout.data_dir).data):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # WAL goes while we look
                    needed += Path(folder, name).lstat().st_size
        free = shutil.disk_usage(self._layout.data_dir).free
        if free < needed:
            raise EmbeddedPostgresError(
                f"no room for a replica on {self._layout.data_dir}: {free:,} bytes are free, and "
                f"{needed:,} needed, twice ledger.free_bytes_min above the size of the ledger"
            )


def why_copy(
    *,
    found_version: str,
    version: str,
    same_boot: bool,
    slot: SlotState,
    set_back: bool,
    failures: int,
) -> str:
    """Why a replica has to be copied before it can start; empty if it can go on. Pure.

    Args:
        found_version: The major version that the copy belongs to, empty without one.
        version: The one that is installed.
        same_boot: Whether the machine has been up since the copy was made.
        slot: What the primary says.
        set_back: Whether the replica has had WAL that the primary has no more.
        failures: Starts in a row that came to nothing.
    """
    reasons = {
        "there is no copy yet": not found_version,
        f"the copy belongs to Postgres {found_version}": found_version != version,
        SET_BACK: set_back,
        "the machine was restarted, and a replica syncs nothing to disk": not same_boot,
        "the primary has no replication slot for it": slot.wal_status == "",
        SLOT_LOST: not slot.holds,
        f"it failed to start {failures} times": failures == FAILURES_COPIED_AFTER,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _version_of(data: Path) -> str:
    return _read(data / "PG_VERSION")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _remove(home: Path, boot_file: Path) -> None:
    boot_file.unlink(missing_ok=True)  # first: half a folder must not pass for a copy
    if home.exists():
        shutil.rmtree(home)
