"""What the event stream holds beside what the tables hold, read in a process of its own.

Run as `python -m chaos.stream_rows`: it reads an `Asked` in msgpack from standard input, since a
DSN holds a password, and writes a `Streamed` in msgpack on standard output.

The tables are read with plain SQL, the stream with what consumers read it with. What is committed
while both are read would be told by one alone: so a comparison that finds something is made again,
until one finds nothing or the time is over. What is really missing or doubled stays so.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import trio
from psycopg import sql

from chaos.streamed import Streamed, Table, Told, compare
from chassis.settings import Settings, settings_of_shard
from ledger.stream.changes import Change, read_change, read_table
from ledger.stream.changes import Table as Shape
from ledger.stream.events import OPERATIONS
from ledger.stream.open import stream_reader
from ledger.stream.record import parse_record

AGAIN_S: Final = 0.5
PAGE_RECORDS: Final = 4_096
PAGE_BYTES: Final = 4_194_304
PUBLISHED_SQL: Final = """
SELECT p.tablename, p.attnames::text[], array(
    SELECT a.attname::text
    FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute AS a ON a.attnum = k.number
    WHERE i.indrelid = p.tablename::regclass AND i.indisprimary AND a.attrelid = i.indrelid
    ORDER BY k.place
)
FROM pg_publication_tables AS p
WHERE p.pubname = 'turnout_events'
ORDER BY p.tablename
"""
FLUSHED_SQL: Final = "SELECT pg_current_wal_flush_lsn()"
ACKNOWLEDGED_SQL: Final = """
SELECT coalesce(max(confirmed_flush_lsn) >= %s::pg_lsn, false)
FROM pg_replication_slots WHERE slot_name = %s
"""


class Asked(msgspec.Struct, frozen=True):
    """What is to be compared, and how long that may take.

    Attributes:
        dsn: of the role that only reads.
        data_dir: of the stack, which need not run as far as the stream is concerned.
        within_s: for relay and comparison to come to an end.
        slot: the relay's.
    """

    dsn: str
    data_dir: str
    within_s: float
    slot: str


class StreamUnreadableError(Exception):
    """The reader failed; carries what it said."""


def read_streamed(dsn: str, data_dir: Path, *, within_s: float, shard: int = 0) -> Streamed:
    """Compare the stream of a stack with its ledger, in a process of its own.

    Args:
        dsn: of the role that only reads.
        data_dir: the shard's, which is the stack's for the first one.
        within_s: how long to wait for the relay, and to compare again.
        shard: whose ledger it is.

    Raises:
        StreamUnreadableError: the process failed: the stream cannot be read, say.
    """
    slot = settings_of_shard(Settings(), shard).relay.slot
    asked = Asked(dsn, str(data_dir), within_s, slot)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "chaos.stream_rows"],
        input=msgspec.msgpack.encode(asked),
        check=False,
        capture_output=True,
    )
    if done.returncode != 0:
        raise StreamUnreadableError(done.stderr.decode(errors="replace")[-2_000:])
    return msgspec.msgpack.decode(done.stdout, type=Streamed)


async def compare_until(asked: Asked) -> Streamed:
    """Compare until nothing is found, or the time is over."""
    deadline = time.monotonic() + asked.within_s
    while True:
        with psycopg.connect(asked.dsn) as session:
            tables = read_tables(session)
            session.rollback()
            _await_relay(session, asked.slot, deadline)
        found = compare(tables, [told async for told in read_stream(Path(asked.data_dir))])
        if found.holds or time.monotonic() >= deadline:
            return found
        await trio.sleep(AGAIN_S)


def read_tables(session: psycopg.Connection[Any]) -> dict[str, Table]:
    """Every published row, all of one snapshot, as Postgres sends its values in binary."""
    session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    tables: dict[str, Table] = {}
    for name, columns, key in session.execute(PUBLISHED_SQL).fetchall():
        chosen = sql.SQL(", ").join(map(sql.Identifier, columns))
        with session.cursor(binary=True) as cursor:
            cursor.execute(
                sql.SQL("SELECT {} FROM {}").format(chosen, sql.Identifier(name)), binary=True
            )
            result = cursor.pgresult
            assert result is not None
            tables[name] = Table(
                key,
                [
                    {column: result.get_value(row, place) for place, column in enumerate(columns)}
                    for row in range(result.ntuples)
                ],
            )
    return tables


def _await_relay(session: psycopg.Connection[Any], slot: str, deadline: float) -> None:
    """Wait until the relay has acknowledged what is committed now."""
    session.autocommit = True
    flushed = session.execute(FLUSHED_SQL).fetchone()
    assert flushed is not None
    while time.monotonic() < deadline:
        if session.execute(ACKNOWLEDGED_SQL, [flushed[0], slot]).fetchone() == (True,):
            return
        time.sleep(AGAIN_S / 10)


async def read_stream(data_dir: Path) -> AsyncIterator[Told]:
    """Every record of a stream, decoded."""
    shapes: dict[bytes, Shape] = {}
    async with stream_reader(Settings(), data_dir) as reader:
        end = (await reader.high_water()).get(0, 0)
        at = 0
        while at < end:
            page = await reader.read({0: at}, PAGE_RECORDS, PAGE_BYTES)
            for name, descriptor in page.descriptors.items():
                shapes[name] = read_table(descriptor)
            for _, offset, data in page.records:
                if offset != at:
                    raise StreamUnreadableError(f"{offset} follows {at - 1}")
                at += 1
                record = parse_record(data)
                shape = shapes[record.descriptor]
                change = read_change(record.change, shape)
                yield Told(offset, OPERATIONS[record.kind], shape.name, _values(change))


def _values(change: Change) -> dict[str, bytes | None] | None:
    if change.new is None:
        return None
    names = [column.name for column in change.new.table.columns]
    return dict(zip(names, change.new.cells, strict=True))


def main() -> None:
    """Compare what standard input asks for."""
    asked = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Asked)
    found = trio.run(compare_until, asked)
    sys.stdout.buffer.write(msgspec.msgpack.encode(found))


if __name__ == "__main__":
    main()
