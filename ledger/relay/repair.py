"""Closing a gap: what the tables hold and the stream lacks goes into the stream.

Theory of operation
-------------------
A slot is made anew, and with it a snapshot: what was committed before is visible in the snapshot,
what comes after will come through the slot. So the stream, the snapshot and the slot together are
everything, and the stream lacks exactly what the snapshot shows and the stream does not hold.

That is found by comparing, not by guessing from dates: a clock may have been set, a backup may be
older than it looks. Every event of the stream is remembered by its key (`ledger.relay.event_keys`),
then the tables are read in ranges of payment intents, and each row whose key is not among them is
appended as the insert that Postgres would have sent, byte for byte, under the flag `repair`. Keys
of many millions of events do not fit into memory, so the work is done in passes, each over the
intents of one residue; an intent's last byte is random.

What remains of the keys then is in the stream and not in the tables. After a restore from a backup
these are the payments that the backup has lost, so they are counted and reported. A record that
such a restore has lost (`ledger.relay.restores`) stands for nothing: where the tables have a row of
its key, the row is appended.

Of an intent only the present version can be read back. Versions between are lost to the stream,
and show as a gap in its version numbers; what made them, outcomes and attempts, is all there.

*A death on the way* repeats the repair: until the last batch, which brings the new mark, the
stream's mark stays where it was, and rows that have been appended are found in the stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import attrs

from chassis import crash_points
from ledger.connection import Connection
from ledger.pgoutput import INSERT, RowShape, insert_message, read_relation, relation_message
from ledger.pgtypes import int8_, text_, uuid_
from ledger.queries import Query
from ledger.relay.connection import PUBLICATION
from ledger.relay.errors import RepairError
from ledger.relay.event_keys import change_key, key_of
from ledger.relay.restores import TABLE as RESTORES
from ledger.statements import QUERIES
from ledger.stream.backend import START, Batch, Reader, Writer
from ledger.stream.cursors import lost_ranges
from ledger.stream.record import (
    HEAD_BYTES,
    REPAIR,
    VERSION,
    Mark,
    descriptor_id,
    pack_head,
    parse_record,
)

READ_RECORDS: Final = 8_192
READ_BYTES: Final = 8_388_608
BATCH_RECORDS: Final = 4_096  # appended in one step
RESIDUE_BYTE: Final = 15  # of an intent's id: random in a UUIDv7
_LOWEST: Final = bytes(16)
_HIGHEST: Final = b"\xff" * 16
_PUBLISHED: Final = QUERIES["published_tables"]
_WINDOW_END: Final = QUERIES["repair_window_end"]

OpenReader = Callable[[], AbstractAsyncContextManager[Reader]]


@attrs.define
class Found:
    """What a repair has found.

    Attributes:
        repaired: rows appended, by table.
        not_in_tables: events that the stream holds of rows that no table has.
    """

    repaired: dict[str, int] = attrs.field(factory=dict)
    not_in_tables: int = 0

    @property
    def records(self) -> int:
        """Rows appended."""
        return sum(self.repaired.values())


class Table:
    """A published table as a repair reads it.

    Attributes:
        name: without its schema.
        descriptor: as the WAL describes it.
        query: its rows of a range of intents and a residue, in the order of their keys.
    """

    def __init__(
        self, oid: int, identity: str, shape_rows: Sequence[tuple[bool, str, int, int]], name: str
    ) -> None:
        self.name = name
        self.descriptor = relation_message(oid, name, identity.encode(), list(shape_rows))
        self.descriptor_id = descriptor_id(self.descriptor)
        self._oid, self.shape = read_relation(self.descriptor)
        if not self.shape.prefix:
            raise RepairError(f"the table {name} does not begin with its payment intent's id")
        self.key = key_of(self.shape)
        self.query = Query(f"repair_{name}"[:63], _rows_sql(self.shape))

    def change(self, cells: list[bytes | None]) -> bytes:
        """The insert of a row as the server would have sent it."""
        return insert_message(self._oid, cells)


def _rows_sql(shape: RowShape) -> str:
    """Names come from the catalog and are quoted all the same."""
    columns = ", ".join(f'"{column.name}"' for column in shape.columns)
    keys = ", ".join(f'"{column.name}"' for column in shape.columns if column.is_key)
    first = f'"{shape.columns[0].name}"'
    return (
        f'SELECT {columns} FROM "{shape.table}" '  # noqa: S608  names of our own catalog, quoted
        f"WHERE {first} > $1::uuid AND {first} <= $2::uuid "
        f"AND get_byte(uuid_send({first}), {RESIDUE_BYTE}) % $3::integer = $4::integer "
        f"ORDER BY {keys}"
    )


async def published_tables(connection: Connection) -> list[Table]:
    """The published tables, payment intents first: what the others belong to.

    Raises:
        RepairError: one of them cannot be read in ranges of intents.
        DatabaseError: or one of its children.
    """
    rows = (await connection.run(_PUBLISHED, [text_(PUBLICATION)])).rows()
    columns: dict[str, list[tuple[bool, str, int, int]]] = {}
    heads: dict[str, tuple[int, str]] = {}
    for oid, name, identity, column, type_oid, modifier, is_key in rows:
        heads[name] = (oid, identity)
        columns.setdefault(name, []).append((is_key, column, type_oid, modifier))
    order = sorted(heads, key=lambda name: (_RANK.get(name, len(_RANK)), name))
    return [Table(*heads[name], columns[name], name) for name in order]


_RANK: Final = {
    "payment_intents": 0,
    "transactions": 1,
    "attempts": 2,
    "outcomes": 3,
    "postings": 4,
}


class Repair:
    """One repair, from the snapshot to the new mark.

    Args:
        writer: of the stream; open.
        open_reader: opens a reader of the same stream.
        given: descriptors that the writer has been given since it was opened; added to.
        window_intents: how many intents to read in one go.
        keys_max: how many keys to hold in memory.
        now_us: Unix microseconds: the records' commit time, for their own is not known.
        lost: offsets of the stream that count no more; None asks the ledger.
    """

    def __init__(
        self,
        writer: Writer,
        open_reader: OpenReader,
        given: set[bytes],
        *,
        window_intents: int,
        keys_max: int,
        now_us: Callable[[], int],
        lost: Sequence[range] | None = None,
    ) -> None:
        self._writer = writer
        self._open_reader = open_reader
        self._given = given
        self._window_intents = window_intents
        self._keys_max = keys_max
        self._now_us = now_us
        self._lost = lost
        self._ordinal = 0

    async def run(self, connection: Connection, old: Mark, new: Mark) -> Found:
        """Append what is missing, and at last the new mark.

        Args:
            connection: in a transaction that sees the snapshot.
            old: the stream's mark; stays until everything is there.
            new: its mark afterwards: the slot's consistent point.

        Raises:
            RepairError: the stream or the tables cannot be compared.
            StreamError, DatabaseError: or their children.
        """
        found = Found()
        tables = await published_tables(connection)
        passes = 1 + self._writer.next_offset // self._keys_max
        held = self._writer.next_offset  # what the repair itself appends is not compared
        lost = await lost_ranges(connection) if self._lost is None else self._lost
        for residue in range(passes):
            keys = await self._stream_keys(held, passes, residue, lost)
            for table in tables:
                found.repaired.setdefault(table.name, 0)
            async for some, low, high in self._spans(connection, tables):
                for table in some:
                    span = [uuid_(low), uuid_(high), _int4(passes), _int4(residue)]
                    cells = (await connection.run(table.query, span)).packed_rows()
                    missing = [row for row in cells if not _take(keys, table.key(row))]
                    found.repaired[table.name] += len(missing)
                    for start in range(0, len(missing), BATCH_RECORDS):
                        await self._append(table, missing[start : start + BATCH_RECORDS], old, new)
            found.not_in_tables += sum(known & _IN_TABLES for known in keys.values())
        await self._writer.append(Batch([], [], new))
        return found

    async def _spans(
        self, connection: Connection, tables: list[Table]
    ) -> AsyncIterator[tuple[list[Table], bytes, bytes]]:
        """Every table from the lowest id to the highest there can be; restores before all others.

        They tell of records before them. So those that a new stream is told of tell of none there.
        """
        yield [table for table in tables if table.name == RESTORES], _LOWEST, _HIGHEST
        others = [table for table in tables if table.name != RESTORES]
        async for low, high in self._windows(connection):
            yield others, low, high

    async def _windows(self, connection: Connection) -> AsyncIterator[tuple[bytes, bytes]]:
        """Ranges of ids, without gaps from the lowest to the highest there can be."""
        low = _LOWEST
        while True:
            params = [uuid_(low), int8_(self._window_intents - 1)]
            found = (await connection.run(_WINDOW_END, params)).column(0)
            if not found:
                yield low, _HIGHEST
                return
            yield low, found[0]
            low = found[0]

    async def _stream_keys(
        self, held: int, passes: int, residue: int, lost: Sequence[range]
    ) -> dict[bytes, int]:
        """Keys of the stream's events of a residue.

        With each, whether the tables must have it too, for earlier versions of an intent are in the
        stream alone; and whether its newest record is lost, and says nothing of the tables.
        """
        keys: dict[bytes, int] = {}
        readers: dict[bytes, tuple[RowShape, Callable[[bytes], bytes | None]]] = {}
        cursor: Mapping[int, int] = START
        read = 0
        async with self._open_reader() as reader:
            while read < held:
                page = await reader.read(cursor, min(READ_RECORDS, held - read), READ_BYTES)
                if not page.records:
                    raise RepairError(f"the stream ends at record {read} of {held}")
                for _, offset, data in page.records:
                    if data[32 + RESIDUE_BYTE] % passes != residue:
                        continue
                    record = parse_record(data)
                    known = readers.get(record.descriptor)
                    if known is None:
                        _, shape = read_relation(page.descriptors[record.descriptor])
                        known = readers[record.descriptor] = (shape, change_key(shape))
                    key = known[1](record.change)
                    if key is not None:
                        in_tables = _IN_TABLES * (known[0].table not in _VERSIONED)
                        keys[key] = in_tables | _LOST * any(offset in one for one in lost)
                read += len(page.records)
                cursor = page.cursor
        return keys

    async def _append(
        self, table: Table, rows: Sequence[list[bytes | None]], old: Mark, new: Mark
    ) -> None:
        records = []
        at_us = self._now_us()
        for cells in rows:
            # No transaction's commit stands at this LSN: WAL records begin at multiples of eight.
            head = pack_head(
                VERSION,
                INSERT,
                REPAIR,
                self._ordinal,
                new.end_lsn - 1,
                at_us,
                table.descriptor_id,
                cells[0],
            )
            records.append(head + table.change(cells))
            self._ordinal += 1
        descriptors = [] if table.descriptor in self._given else [table.descriptor]
        await self._writer.append(Batch(records, descriptors, old))
        self._given.add(table.descriptor)
        crash_points.reach(crash_points.DURING_REPAIR)


_VERSIONED: Final = frozenset({"payment_intents"})
_IN_TABLES: Final = 1  # of a key
_LOST: Final = 2
assert HEAD_BYTES == 48  # where an intent's id stands in a record is known here


def _take(keys: dict[bytes, int], key: bytes) -> bool:
    """Whether the stream tells of this row."""
    known = keys.pop(key, _LOST)
    return not known & _LOST


def _int4(value: int) -> bytes:
    return value.to_bytes(4, signed=True)
