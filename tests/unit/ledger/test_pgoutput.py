"""Relations and rows, from a real server, by hand, and spoilt."""

from __future__ import annotations

import struct

import pytest

from ledger.errors import PgoutputError
from ledger.pgoutput import (
    first_column,
    insert_message,
    read_relation,
    read_truncate,
    read_tuple,
    relation_message,
)
from ledger.relay.replication import (
    ENVELOPE_BYTES,
)
from tests.support.pgoutput import (
    INTENT,
    TABLE_OID,
    TEXT_OID,
    UUID_OID,
    capture,
    change,
    relation,
    row,
)


def _messages(letter: bytes) -> list[bytes]:
    return [
        data[ENVELOPE_BYTES:]
        for data in capture()
        if data[:1] == b"w" and data[ENVELOPE_BYTES : ENVELOPE_BYTES + 1] == letter
    ]


def test_a_real_relation_is_read_and_written_alike() -> None:
    """What we describe in a repair is what the server describes, byte for byte."""
    for message in _messages(b"R"):
        oid, shape = read_relation(message)
        columns = [(column.is_key, column.name, column.type_oid, -1) for column in shape.columns]
        assert relation_message(int.from_bytes(oid), shape.table, b"d", columns) == message
    assert {read_relation(message)[1].table for message in _messages(b"R")} == {
        "payment_intents",
        "payment_intents_2026_11",
        "attempts",
        "attempts_2026_11",
        "outcomes",
    }


def test_real_rows_are_taken_apart_and_put_together() -> None:
    """An insert made of a row's cells is the insert that the server sent."""
    shapes = dict(read_relation(message) for message in _messages(b"R"))
    for message in _messages(b"I"):
        shape = shapes[message[1:5]]
        cells, at = read_tuple(message, 6, shape, "test")
        assert at == len(message)
        assert insert_message(message[1:5], cells) == message
        assert first_column(message, shape) == cells[0]


def test_the_first_column_is_that_of_the_newest_tuple() -> None:
    """An update that changed the key tells the old one first; a delete has only the old."""
    shapes = dict(read_relation(message) for message in _messages(b"R"))
    [update] = [message for message in _messages(b"U") if message[5:6] == b"K"]
    old, at = read_tuple(update, 6, shapes[update[1:5]], "test")
    new, _ = read_tuple(update, at + 1, shapes[update[1:5]], "test")
    assert first_column(update, shapes[update[1:5]]) == new[0] != old[0]
    [delete] = _messages(b"D")
    assert (
        first_column(delete, shapes[delete[1:5]])
        == read_tuple(delete, 6, shapes[delete[1:5]], "test")[0][0]
    )


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (change(b"I")[ENVELOPE_BYTES:], "I outcomes"),
        (change(b"U", row(INTENT, b"", b"", letter=b"K"))[ENVELOPE_BYTES:], "U outcomes"),
        (change(b"D", row(INTENT, b"", b""))[ENVELOPE_BYTES:], "D outcomes"),
        (change(b"I", row(INTENT))[ENVELOPE_BYTES:], "I outcomes"),
        (change(b"I", row(INTENT, b"", b""))[ENVELOPE_BYTES:] + b"x", "I outcomes"),
        (change(b"I", row(INTENT, b"", b""))[ENVELOPE_BYTES:-1], "I outcomes"),
        (change(b"I", row(INTENT, b"", b""))[ENVELOPE_BYTES:].replace(b"b", b"z", 1), "column 1"),
    ],
)
def test_a_change_that_is_not_its_relations_is_refused(message: bytes, place: str) -> None:
    """The error names message, table and column, and quotes nothing."""
    _, shape = read_relation(relation()[ENVELOPE_BYTES:])
    with pytest.raises(PgoutputError, match=place):
        first_column(message, shape)


@pytest.mark.parametrize(
    "broken",
    [
        relation()[ENVELOPE_BYTES:-1],
        relation()[ENVELOPE_BYTES:] + b"x",
        relation(columns=())[ENVELOPE_BYTES:],
        relation()[ENVELOPE_BYTES:].replace(b"public", b"wrongs"),
        relation()[ENVELOPE_BYTES:].replace(b"note", b"n\xffte"),
        b"R\0\0\0\1public",
        b"R",
    ],
)
def test_a_broken_relation_is_refused(broken: bytes) -> None:
    """Cut short, too long, without columns, of another schema, in no UTF-8."""
    with pytest.raises(PgoutputError, match="R "):
        read_relation(broken)


def test_only_a_uuid_in_front_gives_a_relation_its_prefix() -> None:
    """A table that begins with something else has no payment intent."""
    _, shape = read_relation(relation(columns=((1, "a", TEXT_OID),))[ENVELOPE_BYTES:])
    assert shape.prefix == b""
    _, shape = read_relation(relation(columns=((1, "a", UUID_OID),))[ENVELOPE_BYTES:])
    assert shape.prefix == b"N\0\1b\0\0\0\x10"


def test_a_truncation_is_checked() -> None:
    """Cut short, too long, of no table at all."""
    good = b"T" + struct.pack(">IBI", 1, 0, TABLE_OID)
    assert read_truncate(good) == [TABLE_OID.to_bytes(4)]
    for broken in (b"T", good[:-1], good + b"x", b"T" + struct.pack(">IB", 0, 0)):
        with pytest.raises(PgoutputError, match="T"):
            read_truncate(broken)
