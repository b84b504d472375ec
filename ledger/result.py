"""What a session gave back: rows, still packed, or an error, or a notice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from psycopg import pq

from chassis.log import get_logger
from ledger.errors import ConnectionLostError, DatabaseError, database_error
from ledger.pgdecode import column_decoder

FATAL_ERROR: Final = int(pq.ExecStatus.FATAL_ERROR)  # libpq's word for every error of a statement

_log = get_logger(__name__)


class Result:
    """The rows or the row count of one statement.

    It keeps libpq's own result, so asking for one column of many costs that column alone.
    """

    __slots__ = ("_result",)

    def __init__(self, result: pq.abc.PGresult) -> None:
        self._result = result

    @property
    def status(self) -> str:
        """The command tag, such as `INSERT 0 128`."""
        return (self._result.command_status or b"").decode()

    @property
    def row_count(self) -> int:
        """Rows returned, or touched by a statement that returns none."""
        return self._result.command_tuples or 0

    def column(self, index: int) -> list[Any]:
        """Unpack one column, top to bottom; types as `ledger.pgdecode.column_decoder` says."""
        result = self._result
        get_value = result.get_value
        cells = [get_value(row, index) for row in range(result.ntuples)]
        return column_decoder(result.ftype(index))(cells)

    def rows(self) -> list[tuple[Any, ...]]:
        """Unpack every row."""
        if not self._result.ntuples:  # most look-ups find nothing, in many columns
            return []
        return list(zip(*map(self.column, range(self._result.nfields)), strict=True))

    def packed_rows(self) -> list[list[bytes | None]]:
        """Every row as it came, each column in Postgres' binary format."""
        get_value, columns = self._result.get_value, range(self._result.nfields)
        return [
            [get_value(row, column) for column in columns] for row in range(self._result.ntuples)
        ]


def failure(answer: pq.abc.PGresult, query: str = "") -> DatabaseError:
    """Turn an error answer into the exception for it; `query` is the name of what failed."""
    return database_error(
        _field(answer, pq.DiagnosticField.SQLSTATE),
        constraint=_field(answer, pq.DiagnosticField.CONSTRAINT_NAME),
        primary=_field(answer, pq.DiagnosticField.MESSAGE_PRIMARY),
        query=query,
    )


def session_lost(answers: Sequence[pq.abc.PGresult], reason: str) -> ConnectionLostError:
    """Say why a session ended; the server's last error, if it sent one, knows best."""
    for answer in reversed(answers):
        sqlstate = _field(answer, pq.DiagnosticField.SQLSTATE)
        if answer.status == FATAL_ERROR and sqlstate:
            return ConnectionLostError(f"the session ended ({sqlstate})", sqlstate=sqlstate)
    return ConnectionLostError(reason)


def log_notice(notice: pq.abc.PGresult) -> None:
    """Hand what Postgres remarks beside its answers to our log."""
    severity = _field(notice, pq.DiagnosticField.SEVERITY_NONLOCALIZED)
    _log.log(
        logging.WARNING if severity == "WARNING" else logging.DEBUG,
        "notice from Postgres",
        severity=severity,
        sqlstate=_field(notice, pq.DiagnosticField.SQLSTATE),
        notice=_field(notice, pq.DiagnosticField.MESSAGE_PRIMARY),
    )


def _field(answer: pq.abc.PGresult, code: pq.DiagnosticField) -> str:
    return (answer.error_field(code) or b"").decode(errors="replace")
