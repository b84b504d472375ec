"""Query strings of webhooks' lists: what cannot be meant is refused, and the parameter is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api.errors import ProblemError
from api.webhooks.queries import parse_delivery_query, parse_endpoint_query, parse_event_query
from ledger.ids import public_id

WE = public_id("we", bytes(range(16)))
EVENT = public_id("evt", bytes(range(16)))


def test_what_is_asked_for_is_read() -> None:
    """Each parameter of each list."""
    events = parse_event_query(b"limit=7&type=payment_intent.created,payment_intent.succeeded")
    assert events.limit == 7
    assert events.types == ("payment_intent.created", "payment_intent.succeeded")
    assert parse_endpoint_query(f"after={WE}".encode()).below == bytes(range(16))
    deliveries = parse_delivery_query(f"endpoint={WE}&event={EVENT}&status=failed".encode())
    assert (deliveries.endpoint_id, deliveries.event_id) == (bytes(range(16)),) * 2
    assert (deliveries.status, deliveries.limit) == ("failed", 20)


@pytest.mark.parametrize(
    ("parse", "query", "parameter"),
    [
        (parse_event_query, "limit=0", "limit"),
        (parse_event_query, "type=", "type"),
        (parse_event_query, "type=payment_intent.created,paid", "type"),
        (parse_event_query, "after=AAAA", "after"),
        (parse_event_query, "after=%C3%BC", "after"),
        (parse_endpoint_query, "limit=101", "limit"),
        (parse_endpoint_query, f"after={EVENT}", "after"),
        (parse_delivery_query, f"endpoint={EVENT}", "endpoint"),
        (parse_delivery_query, "event=evt_1", "event"),
        (parse_delivery_query, "status=lost", "status"),
        (parse_delivery_query, "limit=x", "limit"),
    ],
)
def test_a_refusal_names_its_parameter(
    parse: Callable[[bytes], object], query: str, parameter: str
) -> None:
    """With a code that programs can tell."""
    with pytest.raises(ProblemError) as caught:
        parse(query.encode())
    problem = caught.value.problem
    assert problem.code == "invalid_query"
    assert [fault.parameter for fault in problem.errors] == [parameter]


@pytest.mark.parametrize("parse", [parse_event_query, parse_endpoint_query, parse_delivery_query])
def test_an_unknown_parameter_is_refused(parse: Callable[[bytes], object]) -> None:
    """With those that are known."""
    with pytest.raises(ProblemError, match="invalid_query") as caught:
        parse(b"page=2")
    assert "limit" in caught.value.problem.detail
