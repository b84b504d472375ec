"""Hold the tables to the stream: `turnout audit verify db`.

Theory of operation
-------------------
Everything is read in one REPEATABLE READ snapshot, and the stream to a point behind it. Around the
snapshot two things are waited for, so that the comparison is exact although the stack goes on:

- *before*: every transaction that the stream has already is over, hence shown by the snapshot (a
  commit is in the WAL, and may be in the stream, a little before others see it);
- *after*: the relay has acknowledged all WAL up to where it ended when the snapshot was taken,
  hence the stream has all that the snapshot shows.

Rows come through a cursor, some thousands at a time, read sequentially: what an index would say
makes no difference. A table whose file is damaged is named as far as Postgres tells, and the others
are read all the same. The session's role may read and nothing else.

An archive forgets payments once the tables have (`ledger.archive.expiring`). So where it begins
later, as its key has signed, every row is held to what is left.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

import attrs
import trio

from ledger.audit.comparison import RESIDUE_BYTE, Compared, Comparison
from ledger.audit.findings import Findings
from ledger.audit.segment_entries import Entries
from ledger.audit.tables import Column, TableRows
from ledger.audit.whole_stream import WholeStream
from ledger.connection import Connection
from ledger.errors import DatabaseError, LedgerError
from ledger.partitions import Month, detached_months, dropped_months
from ledger.pgtypes import UUID, text_, text_array
from ledger.queries import Query
from ledger.relay.connection import PUBLICATION
from ledger.relay.ledger_side import read_slot
from ledger.relay.positions import format_lsn
from ledger.statements import QUERIES
from ledger.stream.segments.high_water import HighWaterFile

PUBLISHED: Final = (
    "payment_intents",
    "transactions",
    "attempts",
    "outcomes",
    "postings",
    "restores",
)
FETCH_ROWS: Final = 4_096  # 2 MB
SECRET_BYTES: Final = 32
LOOK_S: Final = 0.05  # between looks at what is waited for
# A file is damaged or gone: index_corrupted, data_corrupted, internal_error, io_error,
# undefined_file (PostgreSQL manual, appendix A).
DAMAGED: Final = frozenset({"XX002", "XX001", "XX000", "58030", "58P01"})

_INTENT: Final = slice(32, 48)  # of a record

Progress = Callable[[int, int], None]

_COLUMNS: Final = QUERIES["audited_columns"]
_OPEN: Final = QUERIES["audit_open_transactions"]
_SNAPSHOT: Final = QUERIES["audit_snapshot"]


class RowsError(LedgerError):
    """The tables cannot be held to the stream now; says what is in the way."""


@attrs.frozen
class RowsPlace:
    """What is held to what.

    Attributes:
        session: of a role that may read.
        stream: its records.
        slot: of the relay.
        keys_max: rows held in memory at once; more take passes.
        wait_s: for open transactions and for the relay, each.
        unsigned: why nobody has signed that a month was dropped; empty where somebody has.
    """

    session: Connection
    stream: WholeStream
    slot: str
    keys_max: int
    wait_s: float
    unsigned: Callable[[Month], str] = lambda _month: "nobody has signed that it was dropped"


async def verify_rows(place: RowsPlace, findings: Findings, progress: Progress) -> Compared:
    """Compare every row with the newest change of its key, and the other way round.

    Args:
        place: what is held to what.
        findings: what is wrong is added here.
        progress: hears how much of how much is done.

    Raises:
        RowsError: a transaction stays open, or the relay is behind or not there.
        DatabaseError: or one of its children.
        OSError, StreamCorruptError: the stream cannot be read.
    """
    settled = _published_offset(place.stream.folder)
    await _wait_until_over(place)
    session = place.session
    await session.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        snapshot_lsn = (await session.run(_SNAPSHOT)).column(0)[0]
        await _wait_until_streamed(place, snapshot_lsn)
        end = _published_offset(place.stream.folder)
        tables = [_Source.of(table) for table in await _tables(session, findings)]
        gone = await _months_gone(place, findings)
        begin = place.stream.begins_at()
        compared = Compared()
        passes = min(1 + end // place.keys_max, 256)
        secret = secrets.token_bytes(SECRET_BYTES)
        for residue in range(passes):
            comparison = Comparison(
                [source.table for source in tables],
                findings,
                compared,
                settled=settled,
                secret=secret,
                residue=residue,
                passes=passes,
                begin=begin,
            )
            for entries in _entries(place, begin, end, Findings() if residue else findings):
                comparison.take(entries.first_offset, [], entries.descriptors)
                for first_offset, records in _still_there(entries, gone):
                    comparison.take(first_offset, records, ())
                done = entries.first_offset + len(entries.records)
                progress(2 * residue * end + done, 2 * passes * end)
                await trio.lowlevel.checkpoint()
            begun = compared.rows
            unread = []
            for source in tables:
                if not await source.show(session, comparison, findings, residue, passes):
                    unread.append(source.table.name)
                shown = min(compared.rows - begun, end)
                progress((2 * residue + 1) * end + shown, 2 * passes * end)
            comparison.finish(unread)
        return compared
    finally:
        if not session.closed:
            with trio.CancelScope(shield=True):
                await session.script("ROLLBACK")


async def _months_gone(place: RowsPlace, findings: Findings) -> list[Month]:
    """The months that were dropped, as the archive's key says; of others the rows are missed.

    Raises:
        RowsError: one is being dropped.
    """
    if detached := await detached_months(place.session):
        raise RowsError(
            f"the month {detached[0].label} is detached, and not dropped yet: "
            "turnout archive run ends it"
        )
    gone = []
    for month in await dropped_months(place.session):
        if reason := place.unsigned(month):
            findings.add("row", f"archived_months {month.label}", reason)
        else:
            gone.append(month)
    return gone


def _still_there(entries: Entries, gone: Sequence[Month]) -> Iterator[tuple[int, list[bytes]]]:
    """The records that tell of rows which tables must have: runs of them, with their offsets."""
    if not gone:
        yield entries.first_offset, entries.records
        return
    begin = 0
    for place, record in enumerate(entries.records):
        if any(month.holds(bytes(record[_INTENT])) for month in gone):
            if begin < place:
                yield entries.first_offset + begin, entries.records[begin:place]
            begin = place + 1
    if begin < len(entries.records):
        yield entries.first_offset + begin, entries.records[begin:]


def _published_offset(folder: Path) -> int:
    file = HighWaterFile.to_look(folder)
    try:
        high_water = file.look()
    finally:
        file.close()
    return high_water.next_offset if high_water else 0


async def _wait_until_over(place: RowsPlace) -> None:
    """Wait until every transaction that may be in the stream already is seen by everyone."""
    session = place.session
    waiting = set((await session.run(_OPEN)).column(0))
    with trio.move_on_after(place.wait_s):
        while waiting:
            await trio.sleep(LOOK_S)
            waiting &= set((await session.run(_OPEN)).column(0))
        return
    raise RowsError(f"a transaction has been open for more than {place.wait_s:g} s; try later")


async def _wait_until_streamed(place: RowsPlace, lsn: int) -> None:
    """Wait until the relay has acknowledged the WAL up to a place."""
    confirmed_lsn = 0
    with trio.move_on_after(place.wait_s):
        while True:
            slot = await read_slot(place.session, place.slot)
            if slot is None:
                raise RowsError(f"there is no replication slot {place.slot}: is the relay enabled?")
            confirmed_lsn = slot.confirmed_lsn
            if confirmed_lsn >= lsn:
                return
            await trio.sleep(LOOK_S)
    raise RowsError(
        f"the stream is at {format_lsn(confirmed_lsn)} and the tables are at "
        f"{format_lsn(lsn)}; see turnout relay status"
    )


async def _tables(session: Connection, findings: Findings) -> list[TableRows]:
    """The tables to read; one that should be published and is not is named."""
    parameters = [text_(PUBLICATION), text_array(list(PUBLISHED))]
    columns: dict[str, list[Column]] = {}
    published = set()
    for table, name, type_oid, is_key, is_published in (
        await session.run(_COLUMNS, parameters)
    ).rows():
        columns.setdefault(table, []).append(Column(name, type_oid, is_key))
        if is_published:
            published.add(table)
    for table in sorted({*PUBLISHED, *columns} - published):
        findings.add("row", table, f"it is not published in {PUBLICATION}; nobody sees its changes")
    tables = [TableRows(name, tuple(found)) for name, found in columns.items()]
    for table_rows in tables:
        if table_rows.columns[0].type_oid != UUID:
            raise RowsError(f"{table_rows.name} does not begin with its payment intent's id")
    return tables


def _entries(place: RowsPlace, begin: int, end: int, findings: Findings) -> Iterator[Entries]:
    """The stream from the first record that must be there, up to an offset.

    Raises:
        RowsError: its beginning is no longer there.
    """
    begun = False
    for entries in place.stream.entries(findings):
        if not begun and entries.first_offset != begin:
            raise RowsError(_what_is_missing(place.stream, entries.first_offset))
        begun = True
        if entries.first_offset >= end:
            return
        yield entries.below(end)


def _what_is_missing(stream: WholeStream, first_offset: int) -> str:
    """Say where the records are that rows could be held to, if they are anywhere."""
    begins = f"the stream begins at record {first_offset}"
    if stream.archived is not None:
        return f"{begins}; what came before is not in the archive"
    if stream.head is not None:
        return f"{begins}; what came before is in the archive: see --archive"
    return begins


@attrs.frozen
class _Source:
    """A table, and how its rows are fetched."""

    table: TableRows
    cursor: str
    fetch: Query

    @classmethod
    def of(cls, table: TableRows) -> Self:
        """Prepare for a table; its name comes from the catalog, and is quoted all the same."""
        fetch = _fetch(f"audited_{table.name}"[:63])
        return cls(table, fetch.name, fetch)

    async def show(
        self,
        session: Connection,
        comparison: Comparison,
        findings: Findings,
        residue: int,
        passes: int,
    ) -> bool:
        """Show all rows of a residue; False if the table cannot be read to its end."""
        opening = f'DECLARE "{self.cursor}" NO SCROLL CURSOR FOR {self._rows_sql(residue, passes)}'
        try:
            await session.script(f"SAVEPOINT audited; {opening}")
            while rows := (await session.run(self.fetch)).packed_rows():
                comparison.show(self.table, rows)
            await session.script(f'CLOSE "{self.cursor}"')
        except DatabaseError as error:
            if error.sqlstate not in DAMAGED:
                raise
            findings.add("row", self.table.name, f"it cannot be read: {error}")
            await session.script("ROLLBACK TO SAVEPOINT audited")
            return False
        return True

    def _rows_sql(self, residue: int, passes: int) -> str:
        columns = ", ".join(f'"{column.name}"' for column in self.table.columns)
        sql = f'SELECT {columns} FROM "{self.table.name}"'  # noqa: S608  our own catalog's names
        if passes == 1:
            return sql
        intent = f'uuid_send("{self.table.columns[0].name}")'
        return f"{sql} WHERE get_byte({intent}, {RESIDUE_BYTE}) % {passes} = {residue}"


@functools.cache
def _fetch(cursor: str) -> Query:
    """The same object each time: a session prepares a query once."""
    return Query(cursor, f'FETCH FORWARD {FETCH_ROWS} FROM "{cursor}"')
