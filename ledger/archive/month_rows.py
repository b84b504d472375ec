"""A month of the payment tables held to the archive, row by row.

Two readings that share nothing: the month's rows, by the owner's session, one table after the
other and without an index; and the month's records, from the archive's objects, each held to its
manifest and each manifest to the log. What they say of each key must be the same, and neither may
know a key that the other does not (`ledger.audit.comparison`).

A column that was added to a table has its default in rows that nobody has written since, whose
records do not tell it: that keeps no month. One that differs between such rows does.

Of every table the count of its rows and a digest go into what is signed: the sum, modulo 2**256, of
the SHA-256 of each row's columns that the stream has, in the table's order, each as its length in
four bytes (NULL: all ones) and its bytes.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Final

import trio

from ledger.archive.errors import ArchiveError
from ledger.archive.month_notes import TableDigest
from ledger.audit.comparison import RESTORES, Compared, Comparison
from ledger.audit.findings import Findings
from ledger.audit.segment_entries import Entries
from ledger.audit.tables import Cells, Column, TableRows
from ledger.connection import Connection
from ledger.partitions import ARCHIVED, Month
from ledger.pgtypes import text_, text_array
from ledger.queries import Query
from ledger.relay.connection import PUBLICATION
from ledger.statements import QUERIES
from ledger.stream.changes import read_table
from ledger.stream.errors import RecordError
from ledger.stream.record import DESCRIPTOR_ID, descriptor_id

FETCH_ROWS: Final = 4_096
SECRET_BYTES: Final = 32
# What is published nowhere, and goes with its month: docs/archive.md.
SECRETS: Final = frozenset(
    {"transactions.card_digest", "transactions.fingerprint", "transactions.sealed_card"}
)
_INTENT: Final = slice(32, 48)  # of a record
_COLUMNS: Final = QUERIES["audited_columns"]
_NULL: Final = b"\xff\xff\xff\xff"
_MODULUS: Final = 1 << 256

# Reads the archive's records from the first on; what is wrong is added to the findings.
ReadRecords = Callable[[Findings], Iterator[Entries]]


async def compare_month(
    session: Connection, month: Month, read: ReadRecords, *, keys_max: int
) -> dict[str, TableDigest]:
    """Hold a month to the archive.

    Args:
        session: of the owner.
        month: attached or not.
        read: the archive's records.
        keys_max: rows held in memory at once; more take passes.

    Raises:
        ArchiveError: the archive does not have every row as it is, and nothing else of the month.
        DatabaseError: or one of its children.
    """
    tables = await _tables(session)
    passes = min(1 + await _count(session, month) // keys_max, 256)
    digests: dict[str, list[int]] = {name: [0, 0] for name in ARCHIVED}
    compared = Compared()
    secret = secrets.token_bytes(SECRET_BYTES)
    for residue in range(passes):
        findings = Findings()
        comparison = Comparison(
            tables.values(),
            findings,
            compared,
            settled=2**63,
            secret=secret,
            residue=residue,
            passes=passes,
        )
        await _take(comparison, month, read, findings)
        await _show_all(session, month, tables, comparison, residue, passes, digests)
        comparison.finish([name for name in tables if name == RESTORES])
        if findings.count:
            more = f", and {findings.count - 1} more" if findings.count > 1 else ""
            raise ArchiveError(f"it is not in the archive as it is: {findings.found[0]}{more}")
    differing = {name for name, values in compared.unheld.items() if len(values) > 1} - SECRETS
    if differing:
        raise ArchiveError(f"the archive does not have the columns {', '.join(sorted(differing))}")
    return {
        name: TableDigest(count, total.to_bytes(32).hex())
        for name, (count, total) in digests.items()
    }


async def _tables(session: Connection) -> dict[str, TableRows]:
    parameters = [text_(PUBLICATION), text_array([*ARCHIVED, RESTORES])]
    columns: dict[str, list[Column]] = {}
    for table, name, type_oid, is_key, _ in (await session.run(_COLUMNS, parameters)).rows():
        if table in ARCHIVED or table == RESTORES:
            columns.setdefault(table, []).append(Column(name, type_oid, is_key))
    return {name: TableRows(name, tuple(found)) for name, found in columns.items()}


async def _count(session: Connection, month: Month) -> int:
    count: int = (await session.run(_count_query(month))).column(0)[0]
    return count


@functools.cache
def _count_query(month: Month) -> Query:
    parts = [
        f'(SELECT count(*) FROM "{month.leaf(table)}")'  # noqa: S608  our own names
        for table in ARCHIVED
    ]
    return Query(f"month_rows_{month.label}", f"SELECT {' + '.join(parts)}")


async def _take(
    comparison: Comparison, month: Month, read: ReadRecords, findings: Findings
) -> None:
    """Show a comparison the records of the month's payments, and those of restores."""
    known: dict[bytes, bool] = {}  # by descriptor: whether its table is a restore's
    for entries in read(findings):
        wanted = [one for one in entries.descriptors if _is_wanted(one)]
        for one in wanted:
            known[descriptor_id(one)] = read_table(one).name == RESTORES
        comparison.take(entries.first_offset, [], wanted)
        for offset, record in enumerate(entries.records, entries.first_offset):
            is_restore = known.get(bytes(record[DESCRIPTOR_ID]), False)
            if is_restore or month.holds(bytes(record[_INTENT])):
                comparison.take(offset, [record], ())
        await trio.lowlevel.checkpoint()


def _is_wanted(descriptor: bytes) -> bool:
    try:
        name = read_table(descriptor).name
    except RecordError:
        return False
    return name in ARCHIVED or name == RESTORES


async def _show_all(
    session: Connection,
    month: Month,
    tables: dict[str, TableRows],
    comparison: Comparison,
    residue: int,
    passes: int,
    digests: dict[str, list[int]],
) -> None:
    """Show the rows of one pass, in a snapshot of its own: none is held while the archive is read.

    What changed meanwhile differs from its record, and keeps the month.
    """
    await session.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        for name in ARCHIVED:
            await _show(session, month, tables[name], comparison, residue, passes, digests)
    finally:
        if not session.closed:
            with trio.CancelScope(shield=True):
                await session.script("ROLLBACK")


async def _show(
    session: Connection,
    month: Month,
    table: TableRows,
    comparison: Comparison,
    residue: int,
    passes: int,
    digests: dict[str, list[int]],
) -> None:
    cursor = f"month_{table.name}"[:63]
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    sql = f'SELECT {columns} FROM "{month.leaf(table.name)}"'  # noqa: S608  our own catalog's names
    if passes > 1:
        sql += f' WHERE get_byte(uuid_send("{table.columns[0].name}"), 15) % {passes} = {residue}'
    await session.script(f'DECLARE "{cursor}" NO SCROLL CURSOR FOR {sql}')
    places = [
        place
        for place, column in enumerate(table.columns)
        if f"{table.name}.{column.name}" not in SECRETS
    ]
    sums = digests[table.name]
    while rows := (await session.run(_fetch(cursor))).packed_rows():
        comparison.show(table, rows)
        for cells in rows:
            sums[0] += 1
            sums[1] = (sums[1] + _row_digest(cells, places)) % _MODULUS
    await session.script(f'CLOSE "{cursor}"')


def _row_digest(cells: Cells, places: Sequence[int]) -> int:
    parts: list[bytes] = []
    for place in places:
        cell = cells[place]
        parts += (_NULL,) if cell is None else (len(cell).to_bytes(4), cell)
    return int.from_bytes(sha256(b"".join(parts)).digest())


@functools.cache
def _fetch(cursor: str) -> Query:
    return Query(f"fetch_{cursor}"[:63], f'FETCH FORWARD {FETCH_ROWS} FROM "{cursor}"')
