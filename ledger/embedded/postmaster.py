"""A Postgres server as a process of ours: launched, found ready, watched, ended.

Theory of operation
-------------------
`launch` starts `postgres` as a child in a session of its own, so that a Ctrl-C at the terminal does
not stop it before its clients. It listens on one Unix socket and nowhere else.

`stop` asks for a fast shutdown (SIGINT), then an immediate one (SIGQUIT), then kills. While the
server runs, `died` knocks at its door and ends one that serves nobody any more
(`ledger.embedded.answering`): what was committed is in the WAL, and the next start recovers it. A
crash of ours leaves the server running: the next start finds and stops it
(`ledger.embedded.orphans`). Parent-death signals would not do: they follow the spawning thread,
not the process.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Never

import trio

from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.dsn import with_role
from ledger.embedded.answering import Answer, until_unusable
from ledger.embedded.binaries import Binaries
from ledger.embedded.cluster import MINIMAL_ENVIRONMENT, Layout, explain
from ledger.embedded.files import ServerLog
from ledger.embedded.identity import Identity
from ledger.embedded.orphans import clear_orphans, clear_socket_lock
from ledger.errors import EmbeddedPostgresError

SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path less its terminating zero
LOG_CHECK_S: Final = 60.0
_READY_POLL_S: Final = 0.01
_IMMEDIATE_WAIT_S: Final = 5.0
_IMMEDIATE_SHUTDOWN: Final = ((signal.SIGQUIT, _IMMEDIATE_WAIT_S),)
_KILL: Final = ((signal.SIGKILL, _IMMEDIATE_WAIT_S),)
_AT_ONCE: Final = ((signal.SIGQUIT, 1.0), *_KILL)

_log = get_logger(__name__)


class Postmaster:
    """The server on one data folder; whoever uses it holds the folder's lock.

    Args:
        layout: Where its data and its log are.
        socket_dir: A short path for the Unix socket; made if missing, writable for its user.
        settings: The ledger's section.
    """

    def __init__(self, *, layout: Layout, socket_dir: Path, settings: Ledger) -> None:
        self._layout = layout
        self._socket_dir = socket_dir.absolute()
        self._settings = settings
        self._server_log = ServerLog(layout.log)
        self._process: trio.Process | None = None

    @property
    def process_id(self) -> int | None:
        """Its process id while it runs."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    @property
    def socket_path(self) -> Path:
        """Where the server listens."""
        return self._socket_dir / SOCKET_NAME

    def dsn(self, role: str, password: str, database: str) -> str:
        """Address the server as `role`."""
        where = f"host='{self._socket_dir}' port=5432 require_auth=scram-sha-256"
        return with_role(where, role, password, database)

    def check_socket_path(self) -> None:
        """See that a socket can have its path; raises EmbeddedPostgresError."""
        path = os.fsencode(self.socket_path)
        if len(path) > SOCKET_PATH_BYTES_MAX or b"," in path or b"'" in path or b"\\" in path:
            raise EmbeddedPostgresError(
                f"{self._socket_dir} cannot hold a Unix socket: a path of at most "
                f"{SOCKET_PATH_BYTES_MAX} bytes without comma, quote or backslash is needed"
            )

    async def launch(
        self, binaries: Binaries, identity: Identity, parameters: Mapping[str, str]
    ) -> None:
        """Stop what an earlier run left behind and start the server; it is not ready yet.

        Args:
            binaries: What to run.
            identity: As whom.
            parameters: For its command line, so no secrets.

        Raises:
            EmbeddedPostgresError: An earlier server cannot be stopped, or this one not started.
            OSError: The folder of the socket or the log cannot be made.
        """
        await clear_orphans(
            self._layout.data, identity, stop_timeout_s=self._settings.stop_timeout_s
        )
        self._make_socket_dir(identity)
        clear_socket_lock(self._socket_dir / f"{SOCKET_NAME}.lock", self._layout.data)
        command = [str(binaries.folder / "postgres"), "-D", str(self._layout.data)]
        command += ["-k", str(self._socket_dir)]
        for name, value in parameters.items():
            command += ["-c", f"{name}={value}"]
        log = self._server_log.open()
        try:
            self._process = await trio.lowlevel.open_process(
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

    async def until_ready(self) -> None:
        """Wait as `pg_ctl -w` does: for the postmaster's own word in `postmaster.pid`.

        Raises:
            EmbeddedPostgresError: It ended, or was not ready in time; says why.
        """
        process = self._running()
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

    async def died(self) -> int:
        """Wait for the server to end, whoever ended it; returns its exit status.

        Meanwhile it bounds the log file, and ends a server that has become unusable.
        """
        process = self._running()
        async with trio.open_nursery() as beside:
            beside.start_soon(self._bound_log)
            beside.start_soon(self._end_if_unusable, process)
            status = await process.wait()
            beside.cancel_scope.cancel(reason="Postgres has ended")
        return status

    async def stop(self, *, at_once: bool = False) -> None:
        """Stop the server if it runs; bounded, and not to be canceled.

        Args:
            at_once: Without its checkpoint; the next start recovers. Children that are stopped
                (SIGSTOP) may be left, see `ledger.embedded.orphans`.

        Raises:
            EmbeddedPostgresError: It survives SIGKILL.
        """
        with trio.CancelScope(shield=True):
            if self._process is not None and at_once:
                await self._signal_until_gone(self._process, _AT_ONCE)
            elif self._process is not None:
                fast = (signal.SIGINT, self._settings.stop_timeout_s)
                await self._signal_until_gone(self._process, (fast, *_IMMEDIATE_SHUTDOWN, *_KILL))

    # -------------------------------------------------------------------------------- inside

    def _running(self) -> trio.Process:
        if self._process is None:
            raise EmbeddedPostgresError("the server was not started")
        return self._process

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

    def _says_ready(self, process_id: int) -> bool:
        try:
            lines = (self._layout.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(process_id) and lines[7].strip() == "ready"

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
