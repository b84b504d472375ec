"""The loader of named SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import QueryFileError
from ledger.queries import Query, load_queries, parse_queries

TWO = """\
-- Queries for the test.

-- name: first
-- Says what it does
-- on two lines; $1 uuid.
SELECT $1::uuid;

-- name: second
SELECT 1
-- a comment inside stays
FROM pg_class
"""


def test_a_file_gives_its_queries_in_order() -> None:
    """Name, description and text come apart; the closing semicolon goes."""
    first, second = parse_queries(TWO, file_name="two.sql")
    assert (
        first.name,
        first.description,
        first.sql,
    ) == ("first", "Says what it does on two lines; $1 uuid.", "SELECT $1::uuid")
    assert (
        second.name,
        second.description,
        second.sql,
    ) == ("second", "", "SELECT 1\n-- a comment inside stays\nFROM pg_class")


def test_a_folder_gives_every_query_of_every_file(tmp_path: Path) -> None:
    """Only .sql files count, and their queries share one name space."""
    (tmp_path / "a.sql").write_text("-- name: one\nSELECT 1")
    (tmp_path / "b.sql").write_text("-- name: two\nSELECT 2")
    (tmp_path / "notes.txt").write_text("not SQL")
    assert {"one", "two"} == load_queries(tmp_path).keys()


def test_the_product_queries_load() -> None:
    """The product's own folder obeys the rules."""
    queries = load_queries("ledger.sql.queries")
    assert all(name == query.name for name, query in queries.items())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT 1", r"bad\.sql:1: text before"),
        ("-- name: x\n-- only words\n", r"bad\.sql: query x is empty"),
        ("-- name: Camel\nSELECT 1", r"bad\.sql:1: 'Camel'"),
        ("-- name:\nSELECT 1", r"bad\.sql:1: ''"),
        ("-- name: ok\nSELECT 1\n-- name: no-dash\nSELECT 1", r"bad\.sql:3: 'no-dash'"),
    ],
)
def test_a_file_that_breaks_the_rules_is_named_with_its_line(text: str, reason: str) -> None:
    """The error says where to look."""
    with pytest.raises(QueryFileError, match=reason):
        parse_queries(text, file_name="bad.sql")


def test_a_name_used_twice_is_refused(tmp_path: Path) -> None:
    """Two texts under one prepared name would run the wrong one."""
    (tmp_path / "a.sql").write_text("-- name: one\nSELECT 1")
    (tmp_path / "b.sql").write_text("-- name: one\nSELECT 2")
    with pytest.raises(QueryFileError, match=r"b\.sql: the name one is taken"):
        load_queries(tmp_path)


def test_a_name_that_postgres_would_cut_is_refused() -> None:
    """Two long names that differ at the end must not become one statement."""
    with pytest.raises(QueryFileError, match="at most 63"):
        Query("a" * 64, "SELECT 1")
    assert Query("a" * 63, "SELECT 1").statement == b"a" * 63
