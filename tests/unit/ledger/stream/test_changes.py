"""Rows of changes: values by type, and what is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.stream.changes import Table, read_change, read_table
from ledger.stream.errors import RecordError
from tests.support.stream import DESCRIPTOR, descriptor, record, tuple_data

BOOL, BYTEA, INT8, INT4, TEXT, DATE, TIMESTAMPTZ, UUID, JSONB = (
    *(16, 17, 20, 23, 25, 1082, 1184, 2950, 3802),
)
TABLE = read_table(DESCRIPTOR)
CHANGE = record(7)[48:]


def _table(*columns: tuple[str, int]) -> Table:
    return read_table(descriptor("things", *columns))


def _insert(*cells: bytes | None) -> bytes:
    return b"I" + struct.pack(">I", 16_400) + b"N" + tuple_data(*cells)


def test_values_are_read_by_their_types() -> None:
    """Each type has its Python form and its form in JSON."""
    table = _table(
        *(("id", UUID), ("yes", BOOL), ("raw", BYTEA), ("n", INT8), ("m", INT4), ("s", TEXT)),
        *(("day", DATE), ("at", TIMESTAMPTZ), ("doc", JSONB), ("nothing", TEXT)),
    )
    change = _insert(
        *(bytes(range(16)), b"\x01", b"\xff\x00", struct.pack(">q", -5), struct.pack(">i", 7)),
        *("é".encode(), struct.pack(">i", 366), struct.pack(">q", 1), b'\x01{"a": [1]}', None),
    )
    row = read_change(change, table).new
    assert row is not None
    assert row.values() == {
        "id": bytes(range(16)),
        "yes": True,
        "raw": b"\xff\x00",
        "n": -5,
        "m": 7,
        "s": "é",
        "day": 366,
        "at": 946_684_800_000_001,
        "doc": b'{"a": [1]}',
        "nothing": None,
    }
    assert row.document() == {
        "id": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "yes": True,
        "raw": "ff00",
        "n": -5,
        "m": 7,
        "s": "é",
        "day": "2001-01-01",
        "at": "2000-01-01T00:00:00.000001Z",
        "doc": {"a": [1]},
        "nothing": None,
    }


def test_an_unchanged_value_is_missing_and_not_null() -> None:
    """Postgres leaves out large values that an update did not touch: we do not know them."""
    table = _table(("id", UUID), ("large", TEXT))
    cells = struct.pack(">H", 2) + b"b" + struct.pack(">I", 16) + bytes(16) + b"u"
    row = read_change(b"U" + struct.pack(">I", 1) + b"N" + cells, table).new
    assert row is not None
    assert row.missing == {"large"}
    assert row.document().keys() == {"id"}


@pytest.mark.parametrize(
    ("oid", "cell"), [(INT8, b"\x00"), (TEXT, b"\xff"), (JSONB, b"\x01{"), (99_999, b"x")]
)
def test_a_value_that_is_not_of_its_type_is_refused(oid: int, cell: bytes) -> None:
    """The error names table and column, never the value."""
    row = read_change(_insert(bytes(16), cell), _table(("id", UUID), ("odd", oid))).new
    assert row is not None
    with pytest.raises(RecordError) as caught:
        row.document()
    assert caught.value.place == "things.odd"


def test_text_format_is_refused() -> None:
    """Values are asked for in binary; a textual one would have to be guessed at."""
    cells = struct.pack(">H", 2) + b"n" + b"t" + struct.pack(">I", 1) + b"5"
    with pytest.raises(RecordError, match="binary"):
        read_change(b"I" + struct.pack(">I", 1) + b"N" + cells, TABLE)


def test_every_cut_of_a_change_is_refused() -> None:
    """A change that ends early is never read as a shorter one."""
    for length in range(5, len(CHANGE)):
        with pytest.raises(RecordError):
            read_change(CHANGE[:length], TABLE)


def test_a_change_with_other_columns_is_refused() -> None:
    """A record and a descriptor that do not belong together do not make an event."""
    with pytest.raises(RecordError, match="columns"):
        read_change(_insert(bytes(16)), TABLE)
    with pytest.raises(RecordError, match="follow the last column"):
        read_change(CHANGE + b"\x00", TABLE)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_change_or_refused(data: bytes) -> None:
    """No input ends in another exception."""
    for change in (b"I" + data, b"U" + data, b"D" + data, CHANGE[:9] + data):
        try:
            found = read_change(change, TABLE)
            for row in (found.old, found.new):
                if row is not None:
                    row.document()
        except RecordError:
            pass


@pytest.mark.parametrize("data", [b"", b"R", b"X" + DESCRIPTOR[1:], DESCRIPTOR[:-1]])
def test_what_is_no_descriptor_is_refused(data: bytes) -> None:
    """The error says that the descriptor is wrong."""
    with pytest.raises(RecordError, match="descriptor"):
        read_table(data)
