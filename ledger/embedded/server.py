"""Start, watch and stop our own Postgres.

Theory of operation
-------------------
`start` takes the lock on the data folder, finds binaries that the server's user can reach, makes
the cluster if there is none, stops what an earlier run left behind, and starts `postgres` as a
child in a session of its own, so that a Ctrl-C at the terminal does not stop it before its
clients. It listens on one Unix socket, asks every role for its SCRAM password there too, and
counts as started when the superuser has logged in.

`stop` asks for a fast shutdown (SIGINT), then an immediate one (SIGQUIT), then kills. While the
server runs, `died` knocks at its door and ends one that serves nobody any more
(`ledger.embedded.answering`): what was committed is in the WAL, and the next start recovers it. A
crash of ours leaves the server running: the next `start` finds and stops it
(`ledger.embedded.orphans`). Parent-death signals would not do: they follow the spawning thread,
not the process.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Never

import trio

from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.dsn import with_role
from ledger.embedded.answering import Answer, until_unusable
from ledger.embedded.binaries import Binaries, find_binaries
from ledger.embedded.cluster import (
    MINIMAL_ENVIRONMENT,
    SUPERUSER,
    Layout,
    ensure_cluster,
    explain,
)
from ledger.embedded.files import FolderLock, ServerLog
from ledger.embedded.identity import Identity, choose_identity
from ledger.embedded.orphans import clear_orphans, clear_socket_lock
from ledger.errors import ConnectionLostError, EmbeddedPostgresError
from ledger.queries import Query

DATABASE: Final = "turnout"
SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path less its terminating zero
LOG_CHECK_S: Final = 60.0
_READY_POLL_S: Final = 0.01
_IMMEDIATE_WAIT_S: Final = 5.0
_IMMEDIATE_SHUTDOWN: Final = ((signal.SIGQUIT, _IMMEDIATE_WAIT_S),)
_KILL: Final = ((signal.SIGKILL, _IMMEDIATE_WAIT_S),)

_DATABASES: Final = Query("databases", "SELECT datname FROM pg_database")

_log = get_logger(__name__)


class EmbeddedPostgres:
    """One Postgres server on one data folder, run by this process.

    Args:
        data_dir: The product's data folder; the server keeps to `postgres*` in it.
        socket_dir: A short path for the Unix socket; made if missing, writable for `uid`.
        settings: The ledger's section.
        uid: Who the server runs as; needed as root, None otherwise.
        gid: Its group; None = the number of `uid`.

    Attributes:
        process_id: Of the postmaster, or None when it does not run.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        socket_dir: Path,
        settings: Ledger,
        uid: int | None = None,
        gid: int | None = None,
    ) -> None:
        self._layout = Layout(data_dir.absolute())
        self._socket_dir = socket_dir.absolute()
        self._settings = settings
        self._uid = uid
        self._gid = gid
        self._password = ""
        self._server_log = ServerLog(self._layout.log)
        self._lock = FolderLock(self._layout.lock)
        self._process: trio.Process | None = None

    @property
    def process_id(self) -> int | None:
        """The postmaster's process id while it runs."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    @property
    def socket_path(self) -> Path:
        """Where the server listens."""
        return self._socket_dir / SOCKET_NAME

    def dsn(self, role: str, password: str, database: str = DATABASE) -> str:
        """Address the server as `role`."""
        where = f"host='{self._socket_dir}' port=5432 require_auth=scram-sha-256"
        return with_role(where, role, password, database)

    def superuser_dsn(self, database: str = DATABASE) -> str:
        """Address the server as its superuser: for roles, backups and tests only."""
        if not self._password:
            raise EmbeddedPostgresError("the superuser's password is known after start()")
        return self.dsn(SUPERUSER, self._password, database)

    async def start(self) -> None:
        """Bring the server up and see that the database `turnout` exists.

        May be called again once the server has died.

        Raises:
            EmbeddedPostgresError: Naming what is wrong and what would mend it; nothing of ours
                runs then.
        """
        if self.process_id is not None:
            raise EmbeddedPostgresError("the server runs already")
        identity = choose_identity(self._uid, self._gid)
        self._check_socket_path()
        self._lock.acquire()
        try:
            binaries = await find_binaries(self._settings.bindir, self._layout.binaries, identity)
            self._password = await ensure_cluster(self._layout, binaries, identity)
            await clear_orphans(
                self._layout.data, identity, stop_timeout_s=self._settings.stop_timeout_s
            )
            self._make_socket_dir(identity)
            clear_socket_lock(self._socket_dir / f"{SOCKET_NAME}.lock", self._layout.data)
            self._process = await self._launch(binaries, identity)
            await self._until_ready(self._process)
            await self._ensure_database()
        except OSError as error:
            await self._end()
            raise EmbeddedPostgresError(
                f"cannot start Postgres: {error.strerror} ({error.filename})"
            ) from None
        except BaseException:
            await self._end()
            raise
        _log.info("Postgres started", process_id=self.process_id, version=binaries.version)

    async def stop(self) -> None:
        """Stop the server and let go of the data folder; bounded, and not to be canceled."""
        await self._end()
        _log.info("Postgres stopped")

    async def died(self) -> int:
        """Wait for the server to end, whoever ended it; returns its exit status.

        Meanwhile it bounds the log file, and ends a server that has become unusable.
        """
        if self._process is None:
            raise EmbeddedPostgresError("the server was not started")
        async with trio.open_nursery() as beside:
            beside.start_soon(self._bound_log)
            beside.start_soon(self._end_if_unusable, self._process)
            status = await self._process.wait()
            beside.cancel_scope.cancel(reason="Postgres has ended")
        return status

    # -------------------------------------------------------------------------------- inside

    def _check_socket_path(self) -> None:
        path = os.fsencode(self.socket_path)
        if len(path) > SOCKET_PATH_BYTES_MAX or b"," in path or b"'" in path or b"\\" in path:
            raise EmbeddedPostgresError(
                f"{self._socket_dir} cannot hold a Unix socket: a path of at most "
                f"{SOCKET_PATH_BYTES_MAX} bytes without comma, quote or backslash is needed"
            )

    def _make_socket_dir(self, identity: Identity) -> None:
        if not self._socket_dir.exists():
            self._socket_dir.mkdir(mode=0o711, parents=True)
            self._socket_dir.chmod(0o711)
            identity.take(self._socket_dir)
        if (blocked := identity.blocked_at(self._socket_dir)) is not None:
            raise EmbeddedPostgresError(
                f"uid {identity.uid}, which runs Postgres, cannot enter {blocked} "
                "to make its socket there"
            )

    async def _launch(self, binaries: Binaries, identity: Identity) -> trio.Process:
        settings = self._settings
        parameters = {
            "shared_buffers": settings.shared_buffers,
            "max_wal_size": settings.max_wal_size,
            "max_slot_wal_keep_size": settings.max_slot_wal_keep_size,
            "max_connections": str(settings.max_connections),
        }
        command = [str(binaries.folder / "postgres"), "-D", str(self._layout.data)]
        command += ["-k", str(self._socket_dir)]
        for name, value in parameters.items():
            command += ["-c", f"{name}={value}"]
        log = self._server_log.open()
        try:
            return await trio.lowlevel.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=MINIMAL_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                **identity.process_options(),
            )
        except OSError as error:
            raise EmbeddedPostgresError(f"cannot run {command[0]}: {error.strerror}") from None
        finally:
            os.close(log)

    async def _until_ready(self, process: trio.Process) -> None:
        """Wait as `pg_ctl -w` does: for the postmaster's own word in `postmaster.pid`."""
        with trio.move_on_after(self._settings.start_timeout_s):
            while process.poll() is None:
                if self._says_ready(process.pid):
                    return
                await trio.sleep(_READY_POLL_S)
            raise EmbeddedPostgresError(
                f"Postgres ended while starting: {explain(self._server_log.tail())}"
            )
        raise EmbeddedPostgresError(
            f"Postgres was not ready within {self._settings.start_timeout_s:g} s "
            "(ledger.start_timeout_s; crash recovery may need more): "
            f"{explain(self._server_log.tail())}"
        )

    def _says_ready(self, process_id: int) -> bool:
        try:
            lines = (self._layout.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(process_id) and lines[7].strip() == "ready"

    async def _ensure_database(self) -> None:
        try:
            connection = await Connection.open(
                self.superuser_dsn("template1"),
                connect_timeout_s=self._settings.connect_timeout_s,
                answer_timeout_s=self._settings.start_timeout_s,
            )
        except ConnectionLostError as error:
            raise EmbeddedPostgresError(
                f"the superuser cannot log in with {self._layout.password}: {error}"
            ) from None
        try:
            known = await connection.run(_DATABASES)
            if DATABASE not in known.column(0):
                await connection.script(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.aclose()

    async def _bound_log(self) -> Never:
        while True:
            await trio.sleep(LOG_CHECK_S)
            self._server_log.bound()

    async def _end_if_unusable(self, process: trio.Process) -> None:
        answer = await until_unusable(self.socket_path, self._settings)
        _log.error("Postgres is unusable", process_id=process.pid, because=f"it {answer.value}")
        # Who does not answer does not hear SIGQUIT either: stopped, or in a wait without end.
        steps = _KILL if answer is Answer.SILENT else (*_IMMEDIATE_SHUTDOWN, *_KILL)
        try:
            await self._signal_until_gone(process, steps)
        except EmbeddedPostgresError as error:
            _log.critical("Postgres cannot be ended", reason=str(error))

    async def _end(self) -> None:
        with trio.CancelScope(shield=True):
            if self._process is not None:
                await self._stop_process(self._process)
        self._lock.release()

    async def _stop_process(self, process: trio.Process) -> None:
        fast = (signal.SIGINT, self._settings.stop_timeout_s)
        await self._signal_until_gone(process, (fast, *_IMMEDIATE_SHUTDOWN, *_KILL))

    async def _signal_until_gone(
        self, process: trio.Process, steps: Sequence[tuple[signal.Signals, float]]
    ) -> None:
        """Send each signal in turn, until the process ends within the time that it is given."""
        for number, wait_s in steps:
            if process.poll() is not None:
                return
            process.send_signal(number)
            with trio.move_on_after(wait_s):
                await process.wait()
                return
            _log.warning("Postgres does not stop", signal=number.name, waited_s=wait_s)
        raise EmbeddedPostgresError(f"process {process.pid} survives SIGKILL; its disk hangs")
