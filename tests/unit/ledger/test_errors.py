"""From SQLSTATE to what the caller may do about it."""

from __future__ import annotations

import pytest

from ledger.errors import (
    ConnectionLostError,
    DatabaseError,
    LedgerError,
    RetryableError,
    RowError,
    database_error,
)


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("22001", RowError),
        ("22P02", RowError),
        ("23505", RowError),
        ("23514", RowError),
        ("40P01", RetryableError),
        ("40001", RetryableError),
        ("55P03", RetryableError),
        ("57014", RetryableError),
        ("53100", RetryableError),
        ("53300", RetryableError),
        ("57P01", RetryableError),
        ("57P03", RetryableError),
        ("08006", ConnectionLostError),
        ("08P01", ConnectionLostError),
        ("", ConnectionLostError),
        ("42601", DatabaseError),
        ("42501", DatabaseError),
        ("40002", DatabaseError),
        ("57000", DatabaseError),
        ("55000", DatabaseError),
        ("P0001", DatabaseError),
    ],
)
def test_sqlstate_decides_the_class(sqlstate: str, expected: type[DatabaseError]) -> None:
    """Splitting, repeating and giving up are told apart by SQLSTATE alone."""
    assert expected is type(database_error(sqlstate))


def test_an_error_names_query_condition_and_constraint() -> None:
    """What an operator needs stands in the message and in attributes."""
    error = database_error("23505", constraint="intents_pkey", query="commit_one")
    assert str(error) == "UniqueViolation (23505) in query commit_one on constraint intents_pkey"
    assert (
        error.sqlstate,
        error.constraint,
        error.query,
    ) == ("23505", "intents_pkey", "commit_one")


@pytest.mark.parametrize("sqlstate", ["22P02", "23502"])
def test_text_that_may_quote_a_value_is_dropped(sqlstate: str) -> None:
    """Postgres quotes the offending value in these classes, so its text goes no further."""
    error = database_error(sqlstate, primary='invalid input syntax: "4242424242424242"')
    assert "4242" not in str(error)


def test_text_about_our_own_mistake_is_kept() -> None:
    """A syntax error quotes only our SQL, and is useless without its text."""
    assert 'at or near "selec"' in str(
        database_error("42601", primary='syntax error at or near "selec"')
    )


def test_an_unknown_sqlstate_is_still_an_error() -> None:
    """A state that no list knows stays visible as itself."""
    assert str(database_error("XY123")) == "UnknownCondition (XY123)"
    assert isinstance(database_error("XY123"), LedgerError)
