"""Connection strings: whose session, with which run-time parameters.

A DSN is anything libpq takes: a URI or `key=value` pairs. Errors here never quote it, because it
may hold a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from chassis.settings.tree import Ledger
from ledger.errors import ConnectionLostError

INVALID_DSN: Final = "08001"  # sqlclient_unable_to_establish_sqlconnection

# Sessions that commit payments. A statement over unnest() that was planned while its table was
# small keeps a sequential scan for ever, hence no sequential scans and one generic plan; hash
# joins stay on, without them joins between CTEs turn quadratic.
_HOT_PLANS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "synchronous_commit": "on",
}
IDLE_IN_TRANSACTION_MS: Final = 10_000  # we never leave one open: only a fault reaches this


def hot_settings(settings: Ledger) -> dict[str, str]:
    """Session parameters of the connections that carry payments."""
    return _HOT_PLANS | {
        "statement_timeout": str(settings.statement_timeout_ms),
        "lock_timeout": str(settings.lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
    }


def with_role(dsn: str, role: str, password: str, database: str | None = None) -> str:
    """Address the same server as another role, and another database if one is named."""
    changes = {"user": role, "password": password} | ({"dbname": database} if database else {})
    return make_conninfo(**parsed(dsn) | changes)


def with_session(dsn: str, parameters: Mapping[str, str]) -> str:
    """Have each session of `dsn` start with these run-time parameters, after its own."""
    parts = parsed(dsn)
    options = [str(parts["options"])] if parts.get("options") else []
    options += [f"-c {name}={_escaped(value)}" for name, value in parameters.items()]
    parts["client_encoding"] = "UTF8"
    parts.setdefault("fallback_application_name", "turnout")
    if options:
        parts["options"] = " ".join(options)
    return make_conninfo(**parts)


def parsed(dsn: str) -> dict[str, Any]:
    """Split a DSN into libpq's parameters.

    Raises:
        ConnectionLostError: When it is no DSN at all; without quoting it.
    """
    try:
        return conninfo_to_dict(dsn)
    except ProgrammingError:
        raise ConnectionLostError(
            "the database DSN is neither a postgresql:// URI nor key=value pairs",
            sqlstate=INVALID_DSN,
        ) from None


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
