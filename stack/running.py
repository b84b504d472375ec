"""What a command needs of the stack that runs on a data directory.

Commands that act on a running stack are started by the same user with the same settings as
`turnout up`, so they may read what only the supervisor may.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import frozen

from chassis.settings import Settings
from ledger.connection import Connection
from ledger.roles import ADMIN
from stack.api_keys import HSMSealer
from stack.database import dsn_of_running
from stack.endpoints import Endpoints, read_endpoints


@frozen(kw_only=True)
class RunningStack:
    """A stack seen from another process."""

    settings: Settings
    data_dir: Path
    endpoints: Endpoints

    @property
    def sealer(self) -> HSMSealer:
        """The HSM, which takes the supervisor's user for its admin."""
        return HSMSealer(self.endpoints.sockets["hsm"][0], self.settings)

    @asynccontextmanager
    async def administration(self) -> AsyncIterator[Connection]:
        """A session of the role that creates merchants.

        Raises:
            StartError: the database's passwords cannot be read.
            LedgerError: the database cannot be reached.
        """
        dsn = dsn_of_running(self.settings, self.data_dir, self.endpoints, ADMIN)
        session = await open_administration(dsn, self.settings)
        try:
            yield session
        finally:
            await session.aclose()


async def open_administration(dsn: str, settings: Settings) -> Connection:
    """Open a session of the administrator's role, whose commits are on the disk when it is told.

    A move of buckets commits on one server what it relies on at the next, and a merchant's key is
    shown once; so this does not depend on what the server has for a default.

    Raises:
        LedgerError: the database cannot be reached.
    """
    return await Connection.open(
        dsn,
        role_settings={"synchronous_commit": "on"},
        connect_timeout_s=settings.ledger.connect_timeout_s,
    )


def find_running(settings: Settings, data_dir: Path) -> RunningStack:
    """The stack on this data directory.

    Raises:
        NotRunningError: none runs there.
    """
    return RunningStack(settings=settings, data_dir=data_dir, endpoints=read_endpoints(data_dir))
