"""A ledger with a replica of it for tests: our own Postgres twice, looked after as a stack does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from attrs import define

from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.embedded import EmbeddedPostgres, EmbeddedReplica, Primary
from ledger.migrate import migrate
from ledger.queries import Query
from ledger.roles import API, OWNER, REPLICA, ROLES, ensure_roles
from tests.support.postgres import TEST_SETTINGS, password_of, server_uid

BACK_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.01
# A test's primary need not survive its machine.
_SETTINGS: Final = msgspec.structs.replace(TEST_SETTINGS, stop_timeout_s=0.1)
_FLUSHED: Final = Query("flushed", "SELECT pg_current_wal_flush_lsn()::text")
_HAS: Final = Query("has", "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn")


@define
class Replicated:
    """A primary that runs, and a replica that need not.

    Attributes:
        folder: where both are.
        primary: the ledger.
        replica: what follows it.
    """

    folder: Path
    primary: EmbeddedPostgres
    replica: EmbeddedReplica

    def reads(self) -> str:
        """The replica's DSN, as the api has it."""
        return self.replica.dsn(API, password_of(API))

    def __call__(self, role: str) -> str:
        """The primary's DSN of a role."""
        return self.primary.dsn(role, password_of(role))

    async def bring_up(self) -> list[str]:
        """Start the replica until it runs and lets the api in; says why it did not before."""
        endings: list[str] = []
        with trio.fail_after(BACK_WITHIN_S):
            await self.replica.start()
            while self.replica.process_id is None:
                endings.append(await self.replica.died())
                await self.replica.start()
            while not await self._lets_in():
                await trio.sleep(_POLL_S)
        return endings

    async def _lets_in(self) -> bool:
        try:
            session = await Connection.open(self.reads(), connect_timeout_s=1)
        except Exception:  # noqa: BLE001  whatever keeps us out
            return False
        await session.aclose()
        return True

    async def do(self, sql: str, *, on_replica: bool = False) -> None:
        """Run statements as the superuser."""
        async with self.superuser(on_replica=on_replica) as session:
            await session.script(sql)

    async def ask(self, sql: str, *, on_replica: bool = False) -> list[tuple[Any, ...]]:
        """Rows, as the superuser."""
        async with self.superuser(on_replica=on_replica) as session:
            return (await session.run(Query("asked", sql))).rows()

    @asynccontextmanager
    async def superuser(self, *, on_replica: bool = False) -> AsyncIterator[Connection]:
        """A session that may do anything."""
        password = (self.folder / "data" / "postgres.password").read_text()
        dsn = self.replica.dsn("postgres", password) if on_replica else self.primary.superuser_dsn()
        session = await Connection.open(dsn, connect_timeout_s=10)
        try:
            yield session
        finally:
            await session.aclose()

    async def catch_up(self) -> None:
        """Wait until the replica has what the primary has now."""
        async with self.superuser() as here, self.superuser(on_replica=True) as there:
            [(flushed,)] = (await here.run(_FLUSHED)).rows()
            with trio.fail_after(BACK_WITHIN_S):
                while not (await there.run(_HAS, [flushed.encode()])).column(0)[0]:
                    await trio.sleep(_POLL_S)


@asynccontextmanager
async def replicated(folder: Path, **settings: Any) -> AsyncIterator[Replicated]:
    """Run a primary with the ledger's roles; the replica is started by the test."""
    pair = make_pair(folder, msgspec.structs.replace(_SETTINGS, **settings))
    await pair.primary.start()
    try:
        passwords = {role: password_of(role) for role in ROLES}
        await ensure_roles(pair.primary.superuser_dsn(), passwords, has_replica=True)
        yield pair
    finally:
        await pair.replica.stop()
        await pair.primary.stop()


def make_pair(folder: Path, settings: Ledger = _SETTINGS) -> Replicated:
    """A primary and a replica on a folder, neither started."""
    data_dir, uid = folder / "data", server_uid()
    primary = EmbeddedPostgres(
        data_dir=data_dir,
        socket_dir=folder / "run",
        settings=settings,
        uid=uid,
        has_replica=True,
    )
    replica = EmbeddedReplica(
        data_dir=data_dir,
        socket_dir=folder / "run-replica",
        settings=settings,
        primary=Primary(
            socket_dir=folder / "run",
            superuser_dsn=primary.superuser_dsn,
            password=password_of(REPLICA),
        ),
        uid=uid,
    )
    return Replicated(folder, primary, replica)


async def migrate_primary(pair: Replicated) -> None:
    """Give the ledger its tables."""
    await migrate(pair(OWNER), log=get_logger("tests"))
