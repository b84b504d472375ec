"""What one statement gave back, still packed: unpacked by column, on demand."""

from __future__ import annotations

from typing import Any

from psycopg import pq

from ledger.pgtypes import column_decoder


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
        """Unpack one column, top to bottom; types as `ledger.pgtypes.column_decoder` says."""
        result = self._result
        get_value = result.get_value
        cells = [get_value(row, index) for row in range(result.ntuples)]
        return column_decoder(result.ftype(index))(cells)

    def rows(self) -> list[tuple[Any, ...]]:
        """Unpack every row."""
        return list(zip(*map(self.column, range(self._result.nfields)), strict=True))
