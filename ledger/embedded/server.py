"""Our own Postgres: the ledger's server, from its first start to its last stop.

Theory of operation
-------------------
`start` takes the lock on the data folder, finds binaries that the server's user can reach, makes
the cluster if there is none, stops what an earlier run left behind, and has the postmaster started
(`ledger.embedded.postmaster`). It asks every role for its SCRAM password on its Unix socket too,
and counts as started when the superuser has logged in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import trio

from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.embedded.binaries import find_binaries
from ledger.embedded.cluster import SUPERUSER, Layout, ensure_cluster
from ledger.embedded.files import FolderLock
from ledger.embedded.former import drop_former_slot, end_former_replica
from ledger.embedded.identity import choose_identity
from ledger.embedded.postmaster import Postmaster
from ledger.errors import ConnectionLostError, EmbeddedPostgresError
from ledger.queries import Query

DATABASE: Final = "turnout"

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
        has_replica: Whether WAL is kept for a replica of ours.

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
        has_replica: bool = False,
    ) -> None:
        self._layout = Layout(data_dir.absolute())
        self._settings = settings
        self._uid = uid
        self._gid = gid
        self._has_replica = has_replica
        self._password = ""
        self._lock = FolderLock(self._layout.lock)
        self._postmaster = Postmaster(layout=self._layout, socket_dir=socket_dir, settings=settings)

    @property
    def process_id(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._postmaster.process_id

    @property
    def socket_path(self) -> Path:
        """Where the server listens."""
        return self._postmaster.socket_path

    def dsn(self, role: str, password: str, database: str = DATABASE) -> str:
        """Address the server as `role`."""
        return self._postmaster.dsn(role, password, database)

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
        self._postmaster.check_socket_path()
        self._lock.acquire()
        try:
            binaries = await find_binaries(self._settings.bindir, self._layout.binaries, identity)
            self._password = await ensure_cluster(self._layout, binaries, identity)
            if not self._has_replica:
                await end_former_replica(self._layout.data_dir, identity)
            await self._postmaster.launch(binaries, identity, server_parameters(self._settings))
            await self._postmaster.until_ready()
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
        return await self._postmaster.died()

    # -------------------------------------------------------------------------------- inside

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
            if not self._has_replica:
                await drop_former_slot(connection)
        finally:
            await connection.aclose()

    async def _end(self) -> None:
        with trio.CancelScope(shield=True):
            await self._postmaster.stop()
        self._lock.release()


def server_parameters(settings: Ledger) -> dict[str, str]:
    """What the settings say of a server; a replica needs as much as what it follows."""
    return {
        "shared_buffers": settings.shared_buffers,
        "max_wal_size": settings.max_wal_size,
        "max_slot_wal_keep_size": settings.max_slot_wal_keep_size,
        "max_connections": str(settings.max_connections),
    }
