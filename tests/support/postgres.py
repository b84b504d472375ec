"""One Postgres for a whole test session, and a fresh migrated database for whoever asks.

The server starts once (under a second). Its folder lies in /tmp with mode 0711, because as root
Postgres runs under another uid, which pytest's own 0700 folders keep out. A watchdog holds the
read end of a pipe: if pytest is killed it reads end-of-file, stops the server and removes the
folder; on an orderly end it is told so and only removes the folder.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import trio

from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.embedded import EmbeddedPostgres
from ledger.migrate import migrate
from ledger.roles import OWNER, ROLES, ensure_roles

POSTGRES_UID = 52_900  # as root; apart from the uids of a product running beside the tests
TEMPLATE = "turnout_template"
TEST_SETTINGS = Ledger(shared_buffers="64MB", max_wal_size="512MB")
# The session's server is thrown away: no checkpoint at its end, and its disk need not be waited
# for. Tests of durability run servers of their own with TEST_SETTINGS.
SESSION_SETTINGS = msgspec.structs.replace(TEST_SETTINGS, stop_timeout_s=0.1)
_WATCHDOG = """
read -r word || {
    kill -INT "$1"
    for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
}
rm -rf "$2"
"""


def server_uid() -> int | None:
    """Who a test's server runs as: a uid of its own as root, else ourselves."""
    return POSTGRES_UID if os.geteuid() == 0 else None


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Make a short-lived folder that other uids may pass through."""
    with tempfile.TemporaryDirectory(prefix="turnout-", dir="/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name)


class LedgerDSN:
    """Addresses of one database: call it with a role's name.

    Attributes:
        database: Its name.
        superuser: The DSN that may do anything, for arranging and inspecting.
    """

    def __init__(self, server: EmbeddedPostgres, database: str) -> None:
        self._server = server
        self.database = database
        self.superuser = server.superuser_dsn(database)

    def __call__(self, role: str) -> str:
        """The DSN of one of `ledger.roles.ROLES`."""
        return self._server.dsn(role, password_of(role), self.database)


def password_of(role: str) -> str:
    """The password that every test database has for `role`."""
    return f"test password of {role}"


class PostgresServer:
    """The session's server.

    Attributes:
        embedded: The running `EmbeddedPostgres`.
    """

    def __init__(self, embedded: EmbeddedPostgres) -> None:
        self.embedded = embedded
        self._numbers = itertools.count(1)
        self._template_ready = False

    def create_database(self, *, migrated: bool = True) -> LedgerDSN:
        """Make a database without rows; with the current schema, or with the roles only."""
        return trio.run(self._create_database, TEMPLATE if migrated else "template1")

    async def _create_database(self, template: str) -> LedgerDSN:
        if not self._template_ready:
            await self._create_template()
            self._template_ready = True
        name = f"turnout_{next(self._numbers)}"
        await self.administer(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}")
        await ensure_roles(self.embedded.superuser_dsn(name), {})
        return LedgerDSN(self.embedded, name)

    async def _create_template(self) -> None:
        await self.administer(f"CREATE DATABASE {TEMPLATE}")
        passwords = {role: password_of(role) for role in ROLES}
        await ensure_roles(self.embedded.superuser_dsn(TEMPLATE), passwords)
        owner = self.embedded.dsn(OWNER, passwords[OWNER], TEMPLATE)
        await migrate(owner, log=get_logger("tests"))

    async def drop_slots(self) -> None:
        """Remove what stacks leave: a slot's name is the whole server's, whatever its database."""
        await self.administer(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        )

    async def administer(self, sql: str) -> None:
        """Run statements as the superuser, outside any test database."""
        connection = await Connection.open(
            self.embedded.superuser_dsn("postgres"), connect_timeout_s=10
        )
        try:
            await connection.script(sql)
        finally:
            await connection.aclose()


@contextlib.contextmanager
def session_server() -> Iterator[PostgresServer]:
    """Run one server until the block ends, however it ends."""
    folder = Path(tempfile.mkdtemp(prefix="turnout-pg-", dir="/tmp"))
    folder.chmod(0o711)
    embedded = EmbeddedPostgres(
        data_dir=folder / "data",
        socket_dir=folder / "run",
        settings=SESSION_SETTINGS,
        uid=server_uid(),
    )
    trio.run(embedded.start)
    with subprocess.Popen(
        ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(embedded.process_id), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as watchdog:
        try:
            server = PostgresServer(embedded)
            trio.run(server.administer, "ALTER SYSTEM SET fsync = off")
            trio.run(server.administer, "SELECT pg_reload_conf()")
            yield server
        finally:
            trio.run(embedded.stop)
            watchdog.communicate(b"stopped\n")
