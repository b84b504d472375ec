"""What we pack, Postgres understands; what it answers, we unpack: every type, NULLs too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import pgtypes
from ledger.connection import Connection
from ledger.errors import RowError
from ledger.queries import Query
from tests.support.postgres import LedgerDSN

UNNEST = Query(
    "unnest_all",
    """
    SELECT * FROM unnest(
        $1::uuid[], $2::smallint[], $3::integer[], $4::bigint[],
        $5::timestamptz[], $6::boolean[], $7::text[], $8::bytea[]
    )
    """,
)
AGGREGATED = Query(
    "aggregate_all",
    "SELECT "
    + ", ".join(
        f"${n}::{t}[]"
        for n, t in enumerate(
            ("uuid", "smallint", "integer", "bigint", "timestamptz", "boolean", "text", "bytea"), 1
        )
    ),
)
ENCODERS = (
    pgtypes.uuid_array,
    pgtypes.int2_array,
    pgtypes.int4_array,
    pgtypes.int8_array,
    pgtypes.timestamptz_array,
    pgtypes.bool_array,
    pgtypes.text_array,
    pgtypes.bytea_array,
)
ROW = st.tuples(
    st.none() | st.binary(min_size=16, max_size=16),
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    st.none() | st.booleans(),
    st.none() | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
    st.none() | st.binary(),
)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ROW, max_size=12))
async def test_rows_come_back_as_they_went(
    ledger_dsn: LedgerDSN, rows: list[tuple[Any, ...]]
) -> None:
    """Through unnest as rows, and as whole arrays, any batch is read back unchanged."""
    columns = [[row[index] for row in rows] for index in range(len(ENCODERS))]
    params = [encode(column) for encode, column in zip(ENCODERS, columns, strict=True)]
    connection = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)
    by_row, by_array = await connection.pipeline([(UNNEST, params), (AGGREGATED, params)])
    await connection.aclose()
    assert by_row.rows() == rows
    assert [by_array.column(index)[0] for index in range(len(ENCODERS))] == columns


@pytest.mark.parametrize(
    ("sql_type", "packed", "as_text"),
    [
        ("uuid", pgtypes.uuid_(bytes(range(16))), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ("smallint", pgtypes.int2_(-3), "-3"),
        ("integer", pgtypes.int4_(-70_000), "-70000"),
        ("bigint", pgtypes.int8_(2**40), "1099511627776"),
        ("text", pgtypes.text_("Zürich €"), "Zürich €"),
        ("bytea", pgtypes.bytea_(b"\x00\xfe"), "\\x00fe"),
        ("boolean", pgtypes.bool_(True), "true"),
        ("jsonb", pgtypes.jsonb_(b'{"a": 1}'), '{"a": 1}'),
        (
            "timestamptz",
            pgtypes.timestamptz_(1_700_000_000_123_456),
            "2023-11-14 22:13:20.123456+00",
        ),
        ("integer", None, None),
    ],
)
async def test_postgres_reads_what_we_mean(
    ledger_dsn: LedgerDSN, sql_type: str, packed: bytes | None, as_text: str | None
) -> None:
    """Postgres' own text form of a packed value is the value."""
    connection = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)
    shown = await connection.run(Query("shown", f"SELECT $1::{sql_type}::text"), [packed])
    await connection.aclose()
    assert shown.rows() == [(as_text,)]


async def test_results_of_every_type_are_read(ledger_dsn: LedgerDSN) -> None:
    """The types that only come back: names, oids, dates, JSON, WAL positions, nothing at all."""
    everything = Query(
        "everything",
        """
        SELECT 'a'::name, 7::oid, 'b'::varchar, 'c '::char(2), '2000-01-03'::date, '{"d": 1}'::json,
               '{"e":2}'::jsonb, '1/10'::pg_lsn, pg_sleep(0), NULL::uuid, ARRAY['f', NULL]::text[]
        """,
    )
    connection = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)
    result = await connection.run(everything)
    await connection.aclose()
    expected = ("a", 7, "b", "c ", 2, b'{"d": 1}', b'{"e": 2}', 2**32 + 16, b"", None, ["f", None])
    assert result.rows() == [expected]


async def test_text_with_a_zero_character_is_a_row_error(ledger_dsn: LedgerDSN) -> None:
    """Postgres cannot store U+0000; the batch may be split to find the row."""
    connection = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)
    with pytest.raises(RowError) as caught:
        await connection.run(Query("text", "SELECT $1::text"), [pgtypes.text_("a\0b")])
    await connection.aclose()
    assert caught.value.sqlstate == "22021"
