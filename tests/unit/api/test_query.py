"""Query strings of lists."""

from __future__ import annotations

import pytest

from api.errors import ProblemError
from api.query import ID_LEAD_US, ListQuery, parse_list_query, parse_parameters, refuse_parameters
from ledger.ids import lowest_id_at, public_id

AT_US = 1_767_323_045_000_000


def test_nothing_asked_for_is_the_first_page() -> None:
    """Without a query the newest intents of any status."""
    query = parse_list_query(b"")
    assert query == ListQuery()
    assert query.covers(0)
    assert (query.lowest_id, query.end_id) == (None, None)


def test_everything_asked_for() -> None:
    """Each parameter is read, percent-encoded or not."""
    cursor = bytes(range(16))
    query = parse_list_query(
        b"limit=100&after=%b&status=failed%%2Ccanceled&createdAfter=2026-01-02T03%%3A04%%3A05Z"
        b"&createdBefore=2026-01-02T03:04:05.25Z" % public_id("pi", cursor).encode()
    )
    assert query == ListQuery(
        limit=100,
        after=cursor,
        created_from_us=AT_US,
        created_before_us=AT_US + 250_000,
        statuses=("failed", "canceled"),
    )


def test_time_bounds_include_their_beginning() -> None:
    """At the instant or later, and before the other; ids only narrow the search."""
    query = ListQuery(created_from_us=AT_US, created_before_us=AT_US + 10)
    covered = [query.covers(AT_US + offset) for offset in (-1, 0, 9, 10)]
    assert covered == [False, True, True, False]
    assert query.lowest_id == lowest_id_at(AT_US - ID_LEAD_US)
    assert query.end_id == lowest_id_at(AT_US + 10)
    assert ListQuery(created_from_us=5).lowest_id == bytes(16)


@pytest.mark.parametrize(
    "query",
    [
        b"limit=",
        b"limit=0",
        b"limit=101",
        b"limit=1000",
        b"limit=-1",
        b"limit=1.0",
        "limit=\u0665".encode(),
        b"limit=1&limit=2",
        b"limit=1&",
        b"after=",
        b"after=txn_0000000000000000000000",
        b"status=",
        b"status=paid",
        b"status=failed,,canceled",
        b"createdAfter=2026-01-02",
        b"createdAfter=2026-01-02T03:04:05",
        b"createdAfter=2026-01-02T03:04:05+01:00",
        b"createdAfter=1969-12-31T23:59:59Z",
        b"createdBefore=now",
        b"Limit=1",
        b"%FF=1",
        b"limit=%FF",
    ],
)
def test_what_cannot_be_meant_is_refused(query: bytes) -> None:
    """Nothing is guessed or ignored."""
    with pytest.raises(ProblemError) as caught:
        parse_list_query(query)
    assert caught.value.problem.code == "invalid_query"


def test_routes_without_parameters_refuse_them() -> None:
    """A misplaced parameter does not go unnoticed."""
    refuse_parameters(b"")
    with pytest.raises(ProblemError):
        refuse_parameters(b"expand=card")


def test_parameters_are_decoded_once() -> None:
    """An encoded percent sign is one, and a plus is a plus."""
    assert parse_parameters(b"a=%2541&b=1+1&c") == {"a": "%41", "b": "1+1", "c": ""}
