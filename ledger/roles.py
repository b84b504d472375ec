"""The database roles: one a process, each with its own secret.

What a role may touch is granted in the migrations, beside the tables; here are only the log-ins.
Passwords reach the server as SCRAM verifiers computed on our side, so no statement, and no log of
statements, ever holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.connection import Connection
from ledger.errors import LedgerError
from ledger.queries import Query

OWNER: Final = "turnout_owner"
API: Final = "turnout_api"
SWITCH: Final = "turnout_switch"
READER: Final = "turnout_reader"
ADMIN: Final = "turnout_admin"
RELAY: Final = "turnout_relay"
POSTINGS: Final = "turnout_postings"
WEBHOOKS: Final = "turnout_webhooks"
REPLICA: Final = "turnout_replica"

# Attributes in SQL, so that the table reads as the statement does.
_LOGS_IN: Final = "LOGIN NOREPLICATION"
_REPLICATES: Final = "LOGIN REPLICATION"  # reads the WAL, with every column of every table
_IS_AWAY: Final = "NOLOGIN NOREPLICATION"
ROLES: Final[Mapping[str, str]] = {
    OWNER: _LOGS_IN,  # owns the tables: migrations only
    API: _LOGS_IN,
    SWITCH: _LOGS_IN,
    READER: _LOGS_IN,
    ADMIN: _LOGS_IN,
    RELAY: _REPLICATES,
    POSTINGS: _LOGS_IN,
    WEBHOOKS: _LOGS_IN,
    REPLICA: _REPLICATES,  # WAL and files, for a copy of the server; away where there is to be none
}

_KNOWN: Final = Query(
    "known_roles",
    "SELECT rolname, CASE WHEN rolcanlogin THEN 'LOGIN ' ELSE 'NOLOGIN ' END"
    " || CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END FROM pg_roles",
)
_DATABASE: Final = Query("database_name", "SELECT quote_ident(current_database())")


async def ensure_roles(
    superuser_dsn: str,
    passwords: Mapping[str, str],
    *,
    has_replica: bool = False,
    connect_timeout_s: float = 10.0,
) -> None:
    """Create the roles that are missing and set the passwords given; safe to repeat.

    The database of `superuser_dsn` becomes the owner's, and only these roles may connect to it.

    Args:
        superuser_dsn: A role that may create roles, on the ledger's database.
        passwords: By role name; roles not named keep theirs.
        has_replica: Whether a replica of ours follows the server.
        connect_timeout_s: For logging in.

    Raises:
        LedgerError: For a password of a role that is not ours.
        DatabaseError: When the server refuses.
    """
    if strangers := sorted(passwords.keys() - ROLES.keys()):
        raise LedgerError(f"not a role of the ledger: {', '.join(strangers)}")
    wanted = ROLES if has_replica else {**ROLES, REPLICA: _IS_AWAY}
    connection = await Connection.open(superuser_dsn, connect_timeout_s=connect_timeout_s)
    try:
        known = dict((await connection.run(_KNOWN)).rows())
        database = (await connection.run(_DATABASE)).column(0)[0]
        statements = [
            f"{'ALTER' if role in known else 'CREATE'} ROLE {role} {attributes}"
            for role, attributes in wanted.items()
            if known.get(role) != attributes
        ]
        statements += [
            f"ALTER ROLE {role} PASSWORD '{connection.scram_verifier(role, password)}'"
            for role, password in passwords.items()
        ]
        statements += [
            f"ALTER DATABASE {database} OWNER TO {OWNER}",
            f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
            f"GRANT CONNECT ON DATABASE {database} TO {', '.join(ROLES)}",
            f"ALTER SCHEMA public OWNER TO {OWNER}",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            f"GRANT pg_monitor TO {READER}, {ADMIN}",
        ]
        await connection.script(";\n".join(statements))
    finally:
        await connection.aclose()
