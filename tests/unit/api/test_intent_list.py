"""What `GET /payment-intents` can be asked for."""

from __future__ import annotations

import pytest

from api.errors import ProblemError
from api.intent_list import ID_LEAD_US, ListQuery, parse_list_query
from ledger.ids import lowest_id_at, public_id
from ledger.listing import EVERY_INTENT
from ledger.money import AMOUNT_MINOR_MAX

AT_US = 1_767_323_045_000_000


def test_nothing_asked_for_is_the_first_page() -> None:
    """Without a query the newest intents of any status."""
    query = parse_list_query(b"")
    assert query == ListQuery()
    assert query.covers(0)
    assert query.filter == EVERY_INTENT


def test_everything_asked_for() -> None:
    """Each parameter is read, percent-encoded or not."""
    cursor = bytes(range(16))
    query = parse_list_query(
        b"limit=100&after=%b&status=failed%%2Ccanceled&createdAfter=2026-01-02T03%%3A04%%3A05Z"
        b"&createdBefore=2026-01-02T03:04:05.25Z&amountMin=5&amountMax=500"
        b"&merchantReference=order-1&metadata%%5Btier%%5D=gold%%20%%26+&metadata[a]b]="
        % public_id("pi", cursor).encode()
    )
    assert query == ListQuery(
        limit=100,
        after=cursor,
        created_from_us=AT_US,
        created_before_us=AT_US + 250_000,
        statuses=("failed", "canceled"),
        amount_min=5,
        amount_max=500,
        merchant_reference="order-1",
        metadata=(("a]b", ""), ("tier", "gold &+")),
    )
    assert query.filter.metadata == query.metadata


def test_one_amount_is_a_range_of_one() -> None:
    """`amountInCents` is both ends; an end that is left out is the furthest there is."""
    exact = parse_list_query(b"amountInCents=2499")
    assert (exact.amount_min, exact.amount_max) == (2499, 2499)
    open_above = parse_list_query(b"amountMin=2499")
    assert (open_above.amount_min, open_above.amount_max) == (2499, AMOUNT_MINOR_MAX)


def test_time_bounds_include_their_beginning() -> None:
    """At the instant or later, and before the other; ids only narrow the search."""
    query = ListQuery(created_from_us=AT_US, created_before_us=AT_US + 10)
    covered = [query.covers(AT_US + offset) for offset in (-1, 0, 9, 10)]
    assert covered == [False, True, True, False]
    assert query.filter.created_from == lowest_id_at(AT_US - ID_LEAD_US)
    assert query.filter.created_before == lowest_id_at(AT_US + 10)
    assert ListQuery(created_from_us=5).filter.created_from == bytes(16)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        (b"limit=", "limit"),
        (b"limit=0", "limit"),
        (b"limit=101", "limit"),
        (b"limit=1000", "limit"),
        (b"limit=-1", "limit"),
        (b"limit=1.0", "limit"),
        ("limit=\u0665".encode(), "limit"),
        (b"after=", "after"),
        (b"after=txn_0000000000000000000000", "after"),
        (b"status=", "status"),
        (b"status=paid", "status"),
        (b"status=failed,,canceled", "status"),
        (b"createdAfter=2026-01-02", "createdAfter"),
        (b"createdAfter=2026-01-02T03:04:05", "createdAfter"),
        (b"createdAfter=2026-01-02T03:04:05+01:00", "createdAfter"),
        (b"createdAfter=1969-12-31T23:59:59Z", "createdAfter"),
        (b"createdBefore=now", "createdBefore"),
        (b"amountInCents=", "amountInCents"),
        (b"amountInCents=0", "amountInCents"),
        (b"amountInCents=24.99", "amountInCents"),
        (b"amountInCents=1000000000000", "amountInCents"),
        (b"amountMin=-1", "amountMin"),
        (b"amountMax=many", "amountMax"),
        (b"amountMin=3&amountMax=2", "amountMin"),
        (b"amountInCents=3&amountMax=5", "amountInCents"),
        (b"merchantReference=", "merchantReference"),
        (b"merchantReference=order%201", "merchantReference"),
        (b"merchantReference=" + b"x" * 129, "merchantReference"),
        (b"metadata[]=1", "metadata"),
        (b"metadata[" + b"x" * 41 + b"]=1", "metadata"),
        (b"metadata[tier]=" + b"x" * 501, "metadata"),
        (b"metadata[tier]=%00", "metadata"),
        (b"&".join(b"metadata[%d]=1" % n for n in range(6)), "metadata"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(query: bytes, parameter: str) -> None:
    """Nothing is guessed or ignored, and the parameter is named."""
    with pytest.raises(ProblemError) as caught:
        parse_list_query(query)
    assert caught.value.problem.code == "invalid_query"
    assert [fault.parameter for fault in caught.value.problem.errors] == [parameter]


@pytest.mark.parametrize(
    "query",
    [
        b"limit=1&limit=2",
        b"limit=1&",
        b"Limit=1",
        b"%FF=1",
        b"limit=%FF",
        b"metadata=gold",
        b"metadata[tier=gold",
        b"metadata[tier]=gold&metadata%5Btier%5D=silver",
        b"amount=5",
    ],
)
def test_queries_that_cannot_be_read_are_refused(query: bytes) -> None:
    """An unknown parameter, one that stands twice, and what is no text."""
    with pytest.raises(ProblemError) as caught:
        parse_list_query(query)
    assert caught.value.problem.code == "invalid_query"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        (b"merchantReference=4242424242424242", "merchantReference"),
        (b"metadata[card]=4242%204242%204242%204242", "metadata"),
        (b"metadata[4242424242424242]=1", "metadata"),
    ],
)
def test_card_numbers_are_refused(query: bytes, parameter: str) -> None:
    """As in a body; the answer does not repeat it."""
    with pytest.raises(ProblemError) as caught:
        parse_list_query(query)
    problem = caught.value.problem
    assert problem.code == "raw_card_data_refused"
    assert [fault.parameter for fault in problem.errors] == [parameter]
    assert "4242" not in str(problem)
