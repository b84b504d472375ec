"""`ledger.migrate` and `ledger.roles` against a real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from chassis.log import get_logger
from ledger.connection import Connection
from ledger.errors import ConnectionLostError, DatabaseError, LedgerError, MigrationError
from ledger.migrate import Migration, load_migrations, migrate
from ledger.queries import Query
from ledger.roles import RELAY, REPLICA, ROLES, ensure_roles
from tests.support.postgres import LedgerDSN, PostgresServer, password_of

LOG = get_logger("tests")
TABLES = Query(
    "tables", "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
)
RECORDED = Query("recorded", "SELECT version, name FROM schema_migrations ORDER BY version")
ONE = Migration(1, "one", "CREATE TABLE one ()")
TWO = Migration(2, "two", "CREATE TABLE two (); CREATE TABLE two_more ()")
BROKEN = Migration(2, "broken", "CREATE TABLE two (); CREATE TABLE one ()")


@pytest.fixture
def empty_dsn(postgres: PostgresServer) -> LedgerDSN:
    """A database with the roles and no tables."""
    return postgres.create_database(migrated=False)


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[Connection]:
    """A session that is closed at the end."""
    connection = await Connection.open(dsn, connect_timeout_s=10)
    try:
        yield connection
    finally:
        await connection.aclose()


async def tables(dsn: LedgerDSN) -> list[str]:
    """The tables of a database besides the record of migrations."""
    async with session(dsn.superuser) as connection:
        return [name for (name,) in (await connection.run(TABLES)).rows() if "schema_" not in name]


async def test_migrations_are_applied_once_and_recorded(empty_dsn: LedgerDSN) -> None:
    """Again is nothing to do; one more is one to do."""
    owner = empty_dsn("turnout_owner")
    assert await migrate(owner, log=LOG, migrations=[ONE]) == 1
    assert await migrate(owner, log=LOG, migrations=[ONE]) == 0
    assert await migrate(owner, log=LOG, migrations=[ONE, TWO]) == 1
    assert await tables(empty_dsn) == ["one", "two", "two_more"]
    async with session(owner) as connection:
        assert (await connection.run(RECORDED)).rows() == [(1, "one"), (2, "two")]


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_dsn: LedgerDSN) -> None:
    """Those before it stay; its mended form can follow."""
    owner = empty_dsn("turnout_owner")
    with pytest.raises(DatabaseError, match="42P07"):
        await migrate(owner, log=LOG, migrations=[ONE, BROKEN])
    assert await tables(empty_dsn) == ["one"]
    assert await migrate(owner, log=LOG, migrations=[ONE, TWO]) == 1


async def test_an_edited_or_unknown_migration_stops_before_anything_is_applied(
    empty_dsn: LedgerDSN,
) -> None:
    """The database and the release disagree, so a person has to look."""
    owner = empty_dsn("turnout_owner")
    await migrate(owner, log=LOG, migrations=[ONE])
    edited = Migration(1, "one", "CREATE TABLE uno ()")
    with pytest.raises(MigrationError, match="0001_one was edited"):
        await migrate(owner, log=LOG, migrations=[edited, TWO])
    with pytest.raises(MigrationError, match="0001_one, which this release does not know"):
        await migrate(owner, log=LOG, migrations=[])
    assert await tables(empty_dsn) == ["one"]


async def test_two_starts_at_once_do_the_work_once(empty_dsn: LedgerDSN) -> None:
    """The second waits for the first and finds nothing to do."""
    done: list[int] = []

    async def start() -> None:
        done.append(await migrate(empty_dsn("turnout_owner"), log=LOG, migrations=[ONE, TWO]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start)
        nursery.start_soon(start)
    assert sorted(done) == [0, 2]


async def test_the_product_schema_is_complete(ledger_dsn: LedgerDSN) -> None:
    """A fresh test database has every migration of this release."""
    assert await migrate(ledger_dsn("turnout_owner"), log=LOG) == 0
    async with session(ledger_dsn("turnout_owner")) as connection:
        recorded = (await connection.run(RECORDED)).rows()
    assert recorded == [(step.version, step.name) for step in load_migrations()]


async def test_every_role_logs_in_and_only_the_owner_creates(empty_dsn: LedgerDSN) -> None:
    """The rest gets what the migrations grant, and nothing before them."""
    for role in set(ROLES) - {REPLICA}:
        async with session(empty_dsn(role)) as connection:
            who = await connection.run(Query("who", "SELECT current_user::text"))
            assert who.rows() == [(role,)]
            if role == "turnout_owner":
                await connection.script("CREATE TABLE mine ()")
            else:
                with pytest.raises(DatabaseError, match="42501"):
                    await connection.script("CREATE TABLE mine ()")


async def test_roles_hold_no_more_power_than_their_work_needs(empty_dsn: LedgerDSN) -> None:
    """None is superuser, makes roles or databases, or passes row security; one reads the WAL."""
    powers = Query(
        "powers",
        "SELECT rolname, rolreplication FROM pg_roles WHERE rolname LIKE 'turnout%' AND NOT"
        " (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls) ORDER BY rolname",
    )
    async with session(empty_dsn.superuser) as connection:
        found = dict((await connection.run(powers)).rows())
    assert found == {role: role == RELAY for role in ROLES}


async def test_nobody_logs_in_as_a_replica_unless_there_is_one(empty_dsn: LedgerDSN) -> None:
    """With the password of that role one could copy the whole server."""
    refused = pytest.raises(ConnectionLostError, match="not permitted to log in")
    with refused:
        await Connection.open(empty_dsn(REPLICA), connect_timeout_s=10)
    await ensure_roles(empty_dsn.superuser, {}, has_replica=True)
    try:
        async with session(empty_dsn(REPLICA)) as connection:
            may = Query("may", "SELECT rolreplication FROM pg_roles WHERE rolname = current_user")
            assert (await connection.run(may)).column(0) == [True]
    finally:
        await ensure_roles(empty_dsn.superuser, {})
    with refused:
        await Connection.open(empty_dsn(REPLICA), connect_timeout_s=10)


async def test_strangers_may_not_connect(empty_dsn: LedgerDSN, postgres: PostgresServer) -> None:
    """A role that is not ours has no business in the ledger's database."""
    stranger = f"stranger_of_{empty_dsn.database}"
    await postgres.administer(f"CREATE ROLE {stranger} LOGIN PASSWORD 'x'")
    with pytest.raises(ConnectionLostError, match="permission denied for database"):
        await Connection.open(
            postgres.embedded.dsn(stranger, "x", empty_dsn.database), connect_timeout_s=10
        )
    await postgres.administer(f"DROP ROLE {stranger}")


async def test_a_password_changes_alone_and_is_stored_as_a_verifier(
    empty_dsn: LedgerDSN, postgres: PostgresServer
) -> None:
    """The old one stops working, other roles keep theirs, and the server never saw either."""
    role = "turnout_admin"
    await ensure_roles(empty_dsn.superuser, {role: "it's \\ new"})
    try:
        async with session(postgres.embedded.dsn(role, "it's \\ new", empty_dsn.database)):
            pass
        async with session(empty_dsn("turnout_api")):
            pass
        with pytest.raises(ConnectionLostError, match="password authentication failed"):
            await Connection.open(empty_dsn(role), connect_timeout_s=10)
    finally:
        await ensure_roles(empty_dsn.superuser, {role: password_of(role)})
    stored = Query("stored", "SELECT rolpassword FROM pg_authid WHERE rolname = 'turnout_admin'")
    async with session(empty_dsn.superuser) as connection:
        assert (await connection.run(stored)).column(0)[0].startswith("SCRAM-SHA-256$")


async def test_a_role_that_is_not_ours_is_refused(empty_dsn: LedgerDSN) -> None:
    """A misspelt name would otherwise leave a role without its password."""
    with pytest.raises(LedgerError, match="not a role of the ledger: turnout_ap"):
        await ensure_roles(empty_dsn.superuser, {"turnout_ap": "x"})
