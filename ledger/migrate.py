"""Bring a database to the schema of this release, one numbered file after the other.

Migrations are `ledger/sql/migrations/NNNN_name.sql`, numbered from 0001 without gaps. Each runs in
a transaction of its own together with its record in `schema_migrations` (version, name, SHA-256),
all of them under one advisory lock, so two starts at once do the work once. A database that knows
a migration we lack, or knows it with other contents, is refused untouched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import attrs

from chassis.log import FilteringBoundLogger
from ledger.connection import Connection
from ledger.errors import MigrationError
from ledger.pgtypes import bytea_, int4_, text_
from ledger.queries import Query

LOCK_KEY: Final = 0x7475_726E_6F75_7400  # "turnout\0": one lock a database
STATEMENT_TIMEOUT_S: Final = 600.0  # an index over a large table
LOCK_TIMEOUT_S: Final = 30.0  # for tables in use, and for another migration at work
_CONNECT_TIMEOUT_S: Final = 10.0

_FILE_NAME: Final = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z][a-z0-9_]*)\.sql\Z")

_CREATE_RECORD: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY CHECK (version > 0),
    name text NOT NULL,
    checksum bytea NOT NULL CHECK (octet_length(checksum) = 32),
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_LOCK: Final = Query("migration_lock", f"SELECT pg_advisory_lock({LOCK_KEY})")
_APPLIED: Final = Query(
    "migrations_applied", "SELECT version, name, checksum FROM schema_migrations ORDER BY version"
)
_RECORD: Final = Query(
    "migration_record",
    "INSERT INTO schema_migrations (version, name, checksum)"
    " VALUES ($1::integer, $2::text, $3::bytea)",
)


@attrs.frozen
class Migration:
    """One step of the schema.

    Attributes:
        version: Its number, from 1.
        name: What follows the number in the file's name.
        sql: Its statements.
    """

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> bytes:
        """SHA-256 of the text: an applied migration is never edited."""
        return hashlib.sha256(self.sql.encode()).digest()

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"


def load_migrations(folder: Traversable | None = None) -> list[Migration]:
    """Read the migrations of this release, or those in `folder`.

    Raises:
        MigrationError: For a file that is not named NNNN_name.sql, a gap, or a repeated number.
    """
    folder = folder or files("ledger") / "sql" / "migrations"
    migrations = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE_NAME.match(entry.name)
        if match is None:
            raise MigrationError(f"{entry.name} is not named NNNN_name.sql")
        migrations.append(Migration(int(match["version"]), match["name"], entry.read_text("utf-8")))
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise MigrationError(f"{migration} stands where number {expected:04} should")
    return migrations


async def migrate(
    dsn_owner: str,
    *,
    log: FilteringBoundLogger,
    migrations: Sequence[Migration] | None = None,
) -> int:
    """Apply what is missing; returns how many migrations that were.

    Args:
        dsn_owner: The role that owns the tables, on the ledger's database.
        log: Told of each migration applied.
        migrations: Those of this release unless given.

    Raises:
        MigrationError: When the database and the migrations disagree; nothing was applied.
        DatabaseError: When one fails; it is rolled back, those before it stay.
    """
    wanted = load_migrations() if migrations is None else list(migrations)
    connection = await Connection.open(
        dsn_owner,
        role_settings={
            "statement_timeout": f"{STATEMENT_TIMEOUT_S:g}s",
            "lock_timeout": f"{LOCK_TIMEOUT_S:g}s",
        },
        connect_timeout_s=_CONNECT_TIMEOUT_S,
        answer_timeout_s=STATEMENT_TIMEOUT_S + LOCK_TIMEOUT_S,
    )
    try:
        await connection.run(_LOCK)  # released with the session
        await connection.script(_CREATE_RECORD)
        applied = (await connection.run(_APPLIED)).rows()
        missing = plan(wanted, applied)
        for migration in missing:
            await _apply(connection, migration)
            log.info("migration applied", migration=str(migration))
        return len(missing)
    finally:
        await connection.aclose()


def plan(wanted: Sequence[Migration], applied: Sequence[tuple[int, str, bytes]]) -> list[Migration]:
    """Decide what to apply.

    Args:
        wanted: The release's migrations, numbered from 1.
        applied: (version, name, checksum) as recorded, by version.

    Raises:
        MigrationError: When the recorded ones are not the first of the wanted ones.
    """
    for (version, name, checksum), migration in zip(applied, wanted, strict=False):
        if version != migration.version:
            raise MigrationError(f"{migration} is missing from the database but later ones are not")
        if (name, checksum) != (migration.name, migration.checksum):
            raise MigrationError(
                f"{migration} was edited after it had been applied (as {version:04}_{name}); "
                "restore the file and write a new migration instead"
            )
    if len(applied) > len(wanted):
        version, name, _ = applied[len(wanted)]
        raise MigrationError(
            f"the database has migration {version:04}_{name}, which this release does not know; "
            "run the release that made it, or a newer one"
        )
    return list(wanted[len(applied) :])


async def _apply(connection: Connection, migration: Migration) -> None:
    await connection.script("BEGIN")
    try:
        await connection.script(migration.sql)
        await connection.run(
            _RECORD,
            [int4_(migration.version), text_(migration.name), bytea_(migration.checksum)],
        )
        await connection.script("COMMIT")
    except BaseException:
        await connection.aclose()  # ends the transaction, and the lock with it
        raise
