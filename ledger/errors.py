"""What can go wrong at the database, sorted by what the caller may do about it.

Driver errors cross into these classes in one place, `database_error`, by SQLSTATE
(PostgreSQL appendix A). Messages carry the SQLSTATE, the condition's name and the constraint,
never a row: Postgres' own text is kept only where it cannot quote a value.
"""

from __future__ import annotations

import psycopg.errors

CONNECTION_LOST = "08006"  # connection_failure: what a closed socket amounts to

_ROW_CLASSES = frozenset({"22", "23"})  # data exception, integrity constraint violation
_CONNECTION_CLASS = "08"
_RETRYABLE_CLASSES = frozenset({"53"})  # insufficient resources
_RETRYABLE_PREFIX = "57P"  # operator intervention: shutdown, crash, cannot connect now
_RETRYABLE_STATES = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
        "57014",  # query_canceled: statement_timeout among others
    }
)
# Classes whose text may quote a value that a client sent.
_QUOTING_CLASSES = _ROW_CLASSES


class LedgerError(Exception):
    """Base of everything the ledger raises; never raised itself."""


class DatabaseError(LedgerError):
    """Postgres refused a statement.

    Raised as itself for faults of ours (syntax, privileges, a missing table); its children
    say when a batch may be split or repeated.

    Attributes:
        sqlstate: The five characters of PostgreSQL appendix A.
        constraint: The violated constraint's name, or empty.
        query: The name of the query that failed, or empty.
    """

    def __init__(
        self, message: str, *, sqlstate: str, constraint: str = "", query: str = ""
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.constraint = constraint
        self.query = query


class RowError(DatabaseError):
    """One row of the batch is at fault (SQLSTATE 22, 23): splitting the batch may help."""


class RetryableError(DatabaseError):
    """The whole batch may be repeated with the same ids: deadlock, time-out, no room.

    Nothing of the batch was committed. A server that stops (57P01) ends the session before the
    commit's answer, which is a `ConnectionLostError` that carries this SQLSTATE.
    """


class ConnectionLostError(DatabaseError):
    """The connection is gone (SQLSTATE 08) and so is any certainty about what it last did."""

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str = CONNECTION_LOST,
        constraint: str = "",
        query: str = "",
    ) -> None:
        super().__init__(message, sqlstate=sqlstate, constraint=constraint, query=query)


class ConnectionBusyError(LedgerError):
    """Two tasks used one connection at once: a mistake of ours, refused before a byte is sent."""


class PoolOverloadError(LedgerError):
    """More tasks wait for a connection than the pool's limit allows; nothing was sent."""


class QueryFileError(LedgerError):
    """A .sql file breaks the rules of `ledger.queries`; names the file and the line."""


class MigrationError(LedgerError):
    """The schema and the migrations at hand do not fit together; names the migration."""


class EmbeddedPostgresError(LedgerError):
    """The embedded server cannot be set up, started or stopped; says what would mend it."""


class PgoutputError(LedgerError):
    """Replication sent what its protocol, or our reader of it, does not know.

    Attributes:
        place: the message and the field.
        reason: what is wrong there.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


def error_class(sqlstate: str) -> type[DatabaseError]:
    """Say which class speaks for `sqlstate`; the only place that knows the grouping."""
    state_class = sqlstate[:2]
    if state_class in _ROW_CLASSES:
        return RowError
    if (
        sqlstate in _RETRYABLE_STATES
        or state_class in _RETRYABLE_CLASSES
        or sqlstate.startswith(_RETRYABLE_PREFIX)
    ):
        return RetryableError
    if state_class == _CONNECTION_CLASS:
        return ConnectionLostError
    return DatabaseError


def database_error(
    sqlstate: str, *, constraint: str = "", primary: str = "", query: str = ""
) -> DatabaseError:
    """Build the error of one failed statement.

    Args:
        sqlstate: Of the error; empty when libpq itself failed, which means a lost connection.
        constraint: The constraint that Postgres names, if any.
        primary: Postgres' primary message; dropped for the classes that quote values.
        query: The name of the query, for the reader of the log.
    """
    sqlstate = sqlstate or CONNECTION_LOST
    parts = [f"{condition_name(sqlstate)} ({sqlstate})"]
    if query:
        parts.append(f"in query {query}")
    if constraint:
        parts.append(f"on constraint {constraint}")
    message = " ".join(parts)
    if primary and sqlstate[:2] not in _QUOTING_CLASSES:
        message = f"{message}: {primary}"
    return error_class(sqlstate)(message, sqlstate=sqlstate, constraint=constraint, query=query)


def condition_name(sqlstate: str) -> str:
    """Name the condition as psycopg does (`UniqueViolation`), or say that it is unknown."""
    try:
        return psycopg.errors.lookup(sqlstate).__name__
    except KeyError:
        return "UnknownCondition"
