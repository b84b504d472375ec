"""Whatever is changed in any file or table of a stack that has worked is found and named.

One run of a whole stack is recorded; each case spoils a copy of its files. The control comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import trio

from chassis.settings import Settings
from ledger.audit.keys import KeyFileError
from ledger.ids import parse_id, public_id
from stack.audit import verify_all, verify_db
from stack.options import Place
from tests.support.whole_audit import OVERRIDES, Recorded, work
from tests.support.whole_stack import running_in_thread

Document = dict[str, Any]
PUBLICATION = "turnout_events"


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    """A stack that has worked: a sealed segment, a live one, two levels, all signed."""
    with running_in_thread(OVERRIDES) as stack:
        trio.run(work, stack)
        yield Recorded(stack, Place(Settings(), stack.data_dir))


@pytest.fixture
def copied(recorded: Recorded, tmp_path: Path) -> Place:
    """Its files, to be spoiled."""
    return recorded.copy(tmp_path)


def _verify(place: Place) -> Document:
    return verify_all(place, lambda _done, _total: None)


def _only(folder: Path, pattern: str, which: int = 0) -> Path:
    return sorted(folder.glob(pattern))[which]


# What an auditor is given; by a pattern below the data directory.
FILES = {
    "sealed segment": ("stream/0/*.seg", 0),
    "live segment": ("stream/0/*.seg", -1),
    "high-water": ("stream/0/high-water", 0),
    "level 0": ("audit/0/levels/0/*.hashes", 0),
    "level 1": ("audit/0/levels/1/*.hashes", 0),
    "history": ("audit/0/history.jsonl", 0),
    "checkpoint": ("audit/0/checkpoint", 0),
    "log's key": ("audit/log.pub", 0),
    "witness' checkpoint": ("witness/checkpoint", 0),
    "witness' key": ("witness/witness.pub", 0),
    "key that the witness pinned": ("witness/log.pub", 0),
}


def _contents(path: Path) -> bytearray:
    """Without the zeros that a live segment ends in: nothing has been written there."""
    data = path.read_bytes()
    return bytearray(data.rstrip(b"\0") if path.suffix == ".seg" else data)


def _flip(data: bytearray, share: float) -> bytes:
    data[min(int(len(data) * share), len(data) - 2)] ^= 1
    return bytes(data)


def _exchange(data: bytearray) -> bytes:
    """Two pieces of 32 bytes, as long as a hash, some way apart."""
    middle = len(data) // 64 * 32
    return bytes(data[:32] + data[middle : middle + 32] + data[64:middle] + data[32:64]) + bytes(
        data[middle + 32 :]
    )


SPOILS: dict[str, Callable[[bytearray], bytes]] = {
    "flipped at its beginning": partial(_flip, share=0.0),
    "flipped in its middle": partial(_flip, share=0.5),
    "flipped at its end": partial(_flip, share=1.0),
    "put in": lambda data: bytes(data[: len(data) // 2] + b"\x01" + data[len(data) // 2 :]),
    "taken out": lambda data: bytes(data[: len(data) // 2] + data[len(data) // 2 + 1 :]),
    "cut short": lambda data: bytes(data[: len(data) // 2]),
    "exchanged": _exchange,
}


def test_the_run_is_found_as_it_was_signed(copied: Place) -> None:
    """The control: files of every kind, and nothing wrong with them."""
    assert all(_only(copied.data_dir, *pattern) for pattern in FILES.values())
    assert len(list(copied.data_dir.glob("stream/0/*.seg"))) > 1
    document = _verify(copied)
    assert (document["ok"], document["findings"]) == (True, [])
    assert document["unsigned"] == 0
    assert document["witnessed"] == document["checked"]["events"] > 2_800
    assert document["checked"]["checkpoints"] > 2


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("file", FILES)
def test_a_file_that_was_changed_is_named(copied: Place, file: str, spoil: str) -> None:
    """Its name stands where somebody would look, with the byte where the file has an inside."""
    path = _only(copied.data_dir, *FILES[file])
    data = _contents(path)
    spoiled = SPOILS[spoil](bytearray(data))
    assert spoiled != bytes(data)
    path.write_bytes(spoiled + bytes(path.stat().st_size - len(data)))
    assert any(where.startswith(str(path)) for where in _named(copied)), _named(copied)


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_was_removed_is_named(copied: Place, file: str) -> None:
    """By itself, or by the one that leads to it."""
    path = _only(copied.data_dir, *FILES[file])
    path.unlink()
    named = _named(copied)
    if file == "sealed segment":  # what follows it says that it is missing
        path = _only(copied.data_dir, "stream/0/*.seg")
    if file == "live segment":
        path = path.parent / "high-water"
    assert any(where.startswith(str(path)) for where in named), named


@pytest.mark.parametrize("level", [0, 1])
def test_a_hash_that_was_changed_is_named_by_its_byte(copied: Place, level: int) -> None:
    """And nothing else is."""
    path = _only(copied.data_dir, f"audit/0/levels/{level}/*.hashes")
    data = bytearray(path.read_bytes())
    data[5 * 32 + 9] ^= 1
    path.write_bytes(data)
    assert _named(copied) == [f"{path}:160"]


def _named(place: Place) -> list[str]:
    """Where somebody is sent: findings, or the file that cannot even be read."""
    try:
        return [finding["where"] for finding in _verify(place)["findings"]]
    except KeyFileError as error:
        return [str(error)]


# ------------------------------------------------------------------------------------- the tables

# Of a ledger that was set back and has lost nothing: rows where a stack has none.
RESTORES_SQL = """
INSERT INTO restores (
    id, lost_from, lost_until, timeline_before, timeline, system_identifier, operator
)
SELECT gen_random_uuid(), 0, 0, 1, 2, '7', 'test' FROM generate_series(1, 8)
"""


def _tables(session: psycopg.Connection[Any]) -> dict[str, tuple[str, list[str]]]:
    """Of the publication: how each is published, and its key."""
    rows = session.execute(
        """
        SELECT c.relname, CASE WHEN r.prattrs IS NULL THEN '' ELSE ' (' || (
            SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = c.oid AND attnum = ANY (r.prattrs)) || ')' END,
            ARRAY(SELECT attname::text FROM pg_attribute
                  WHERE attrelid = c.oid AND attnum = ANY (i.indkey) ORDER BY attnum)
        FROM pg_publication AS p
        JOIN pg_publication_rel AS r ON r.prpubid = p.oid
        JOIN pg_class AS c ON c.oid = r.prrelid
        JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
        WHERE p.pubname = %s
        """,
        [PUBLICATION],
    ).fetchall()
    return {table: (columns, key) for table, columns, key in rows}


def _tamper(session: psycopg.Connection[Any], table: str, key: list[str]) -> dict[str, str]:
    """Change a row, remove one and put one in; the payment of each, by what was done."""

    def one(sql: str) -> Any:
        row = session.execute(sql.encode()).fetchone()
        assert row is not None
        return public_id("pi", row[0].bytes)

    first = {"outcomes": "at", "postings": "occurred_at", "restores": "restored_at"}
    first_column = first.get(table, "created_at")
    some = f"SELECT {', '.join(key)} FROM {table} ORDER BY {', '.join(key)} OFFSET %d LIMIT 1"
    where = f"({', '.join(key)})"
    changed = one(
        f"UPDATE {table} SET {first_column} = {first_column} + interval '1 us' "
        f"WHERE {where} = ({some % 2}) RETURNING {key[0]}"
    )
    removed = one(f"DELETE FROM {table} WHERE {where} = ({some % 4}) RETURNING {key[0]}")
    put_in = one(
        f"""
        INSERT INTO {table} SELECT (jsonb_populate_record(x, (
            SELECT jsonb_object_agg(name, gen_random_uuid()) FROM jsonb_each_text(to_jsonb(x))
                AS each (name, text)
            WHERE text ~ '^[0-9a-f]{{8}}-[0-9a-f]{{4}}-' AND name <> 'intent_id'))).*
        FROM (SELECT t FROM {table} AS t ORDER BY {", ".join(key)} OFFSET 6 LIMIT 1) AS one (x)
        RETURNING {key[0]}
        """
    )
    return {"is not what record": changed, "the table lacks it": removed, "stream does not": put_in}


def test_a_row_that_was_changed_removed_or_put_in_is_named(recorded: Recorded) -> None:
    """In every published table of the running stack, behind the back of the stream."""
    password = (recorded.stack.data_dir / "postgres.password").read_text().strip()
    (folder,) = recorded.stack.endpoints.sockets["postgres"]
    expected: set[tuple[str, str, str]] = set()
    with psycopg.connect(
        host=folder, dbname="turnout", user="postgres", password=password, autocommit=True
    ) as session:
        session.execute(RESTORES_SQL.encode())
        control = verify_db(recorded.place, lambda _done, _total: None)
        assert (control["ok"], control["findings"], control["not_compared"]) == (True, [], [])
        tables = _tables(session)
        for table in tables:
            session.execute(f"ALTER PUBLICATION {PUBLICATION} DROP TABLE {table}".encode())
        for table, (_, key) in tables.items():
            done = _tamper(session, table, key)
            expected |= {(table, payment, words) for words, payment in done.items()}
        for table, (columns, _) in tables.items():
            session.execute(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {table}{columns}".encode())
    document = verify_db(recorded.place, lambda _done, _total: None)
    found = [(one["where"].split()[:2], one["detail"]) for one in document["findings"]]
    assert document["findings_total"] == len(found) == 3 * len(tables) >= 12
    for table, payment, words in expected:
        named = {payment, str(UUID(bytes=parse_id("pi", payment)))}  # a posting may be of a payout
        details = [detail for (of, key), detail in found if of == table and key in named]
        assert any(words in detail for detail in details), (
            table,
            payment,
            words,
            [one for one in found if one[0][0] == table],
        )
    everything = _verify(recorded.place)  # the log itself is as it was signed
    assert {one["kind"] for one in everything["findings"]} == {"row"}
    assert not everything["ok"]
    assert everything["findings_total"] == len(found)
    assert everything["checked"]["rows"] == document["checked"]["rows"]
