"""Sessions of operators on a running ledger."""

from __future__ import annotations

import trio

from chassis.settings import Settings
from ledger.queries import Query
from stack.running import open_administration
from tests.support.postgres import PostgresServer

SYNCHRONOUS = Query("synchronous", "SELECT current_setting('synchronous_commit')")


async def test_what_an_operator_commits_is_durable_whatever_the_server_prefers(
    postgres: PostgresServer,
) -> None:
    """The next step of a move relies on it, on another server."""
    dsn = await trio.to_thread.run_sync(postgres.create_database)
    await postgres.administer(f"ALTER DATABASE {dsn.database} SET synchronous_commit = off")
    session = await open_administration(dsn("turnout_admin"), Settings())
    try:
        assert (await session.run(SYNCHRONOUS)).rows() == [("on",)]
    finally:
        await session.aclose()
