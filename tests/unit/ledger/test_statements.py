"""The named queries and the switch between the two lanes' texts."""

from __future__ import annotations

import pytest

from ledger.queries import Query
from ledger.statements import QUERIES, without_locks, without_skipping


def test_every_query_is_described() -> None:
    """A reader of the SQL learns what it does and what its parameters are."""
    assert [query.name for query in QUERIES.values() if not query.description] == []


def test_the_slow_lane_differs_in_its_lock_clause_alone() -> None:
    """Nothing else of the statement changes, so both lanes decide alike."""
    fast = QUERIES["record_charges"]
    slow = without_skipping(fast)
    assert slow.name != fast.name
    assert slow.sql.replace("FOR NO KEY UPDATE ", "FOR NO KEY UPDATE SKIP LOCKED") == fast.sql


def test_a_statement_that_skips_nothing_has_no_slow_form() -> None:
    """Commit 2 always waits; asking for its slow form is a mistake."""
    with pytest.raises(ValueError, match="no single lock clause"):
        without_skipping(QUERIES["settle_outcomes"])
    with pytest.raises(ValueError, match="no single lock clause"):
        without_skipping(Query("twice", "SKIP LOCKED SKIP LOCKED"))


def test_whoever_looks_locks_nothing() -> None:
    """The unlocked form is the same text without its last clause."""
    locking = QUERIES["lock_intents"]
    looking = without_locks(locking)
    assert looking.name != locking.name
    assert f"{looking.sql}\nFOR NO KEY UPDATE" == locking.sql


def test_a_statement_that_locks_nothing_has_no_unlocked_form() -> None:
    """Asking for it is a mistake; a lock inside the statement is none that could be left out."""
    for query in (QUERIES["read_attempt_views"], QUERIES["settle_outcomes"]):
        with pytest.raises(ValueError, match="does not end in a lock clause"):
            without_locks(query)
