"""The rules of an intent's creation that types cannot say."""

from __future__ import annotations

from typing import Any

import pytest

from api.errors import ProblemError
from api.requests import CreateIntent, read_create_intent

GOOD: dict[str, Any] = {"amountInCents": 2499, "currency": "usd"}


def faults(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Pointer and code of every fault of a creation."""
    with pytest.raises(ProblemError) as caught:
        read_create_intent(body)
    problem = caught.value.problem
    assert problem.code == problem.errors[0].code
    return [(fault.pointer, fault.code) for fault in problem.errors]


def test_the_least_and_the_most_that_can_be_said() -> None:
    """Defaults are filled in; every bound itself passes."""
    assert read_create_intent(GOOD) == CreateIntent(amount_in_cents=2499, currency="usd")
    full = GOOD | {
        "description": "d" * 500,
        "merchantReference": "r" * 128,
        "metadata": {f"{number:040}": "v" * 9 for number in range(30)} | {"empty": ""},
        "captureMethod": "manual",
        "allowPartialAuthorization": True,
    }
    assert read_create_intent(full).metadata == full["metadata"]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"amountInCents": 0}, [("/amountInCents", "amount_out_of_range")]),
        ({"amountInCents": 10**12}, [("/amountInCents", "amount_out_of_range")]),
        ({"currency": "USD"}, [("/currency", "unknown_currency")]),
        ({"currency": "xxx"}, [("/currency", "unknown_currency")]),
        ({"captureMethod": "later"}, [("/captureMethod", "invalid_value")]),
        ({"description": ""}, [("/description", "invalid_value")]),
        ({"description": "d" * 501}, [("/description", "invalid_value")]),
        ({"description": "bell\x07"}, [("/description", "invalid_value")]),
        ({"merchantReference": "with space"}, [("/merchantReference", "invalid_value")]),
        ({"merchantReference": "r" * 129}, [("/merchantReference", "invalid_value")]),
        ({"merchantReference": "é"}, [("/merchantReference", "invalid_value")]),
        ({"metadata": {"a": "v", "b/c": 1}}, [("/metadata/b~1c", "invalid_type")]),
        ({"metadata": {"": "v"}}, [("/metadata", "invalid_value")]),
        ({"metadata": {"n" * 41: "v"}}, [("/metadata", "invalid_value")]),
        ({"metadata": {"a/b": "\0"}}, [("/metadata/a~1b", "invalid_value")]),
        ({"metadata": {str(number): "" for number in range(51)}}, [("/metadata", "invalid_value")]),
        (
            {"metadata": {str(number): "v" * 500 for number in range(5)}},
            [("/metadata", "invalid_value")],
        ),
        (
            {"amountInCents": -1, "currency": "", "captureMethod": "delayed"},
            [
                ("/amountInCents", "amount_out_of_range"),
                ("/currency", "unknown_currency"),
                ("/captureMethod", "invalid_value"),
            ],
        ),
    ],
)
def test_creations_that_break_a_rule(changes: dict[str, Any], found: list[tuple[str, str]]) -> None:
    """Every rule has its place and code, and all that are broken are told at once."""
    assert faults(GOOD | changes) == found


def test_tabs_and_line_feeds_are_text() -> None:
    """A description may have lines."""
    assert read_create_intent(GOOD | {"description": "a\n\tb"}).description == "a\n\tb"
