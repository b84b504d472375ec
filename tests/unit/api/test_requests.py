"""The rules of request bodies that types cannot say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.errors import ProblemError
from api.requests import CreateIntent, read_charge, read_create_intent

encode = msgspec.json.encode
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
        "captureMethod": "automatic",
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
        ({"captureMethod": "manual"}, [("/captureMethod", "capture_method_unavailable")]),
        ({"captureMethod": "later"}, [("/captureMethod", "invalid_value")]),
        ({"description": ""}, [("/description", "invalid_value")]),
        ({"description": "d" * 501}, [("/description", "invalid_value")]),
        ({"description": "bell\x07"}, [("/description", "invalid_value")]),
        ({"merchantReference": "with space"}, [("/merchantReference", "invalid_value")]),
        ({"merchantReference": "r" * 129}, [("/merchantReference", "invalid_value")]),
        ({"merchantReference": "é"}, [("/merchantReference", "invalid_value")]),
        ({"metadata": {"": "v"}}, [("/metadata", "invalid_value")]),
        ({"metadata": {"n" * 41: "v"}}, [("/metadata", "invalid_value")]),
        ({"metadata": {"a/b": "\0"}}, [("/metadata/a~1b", "invalid_value")]),
        ({"metadata": {str(number): "" for number in range(51)}}, [("/metadata", "invalid_value")]),
        (
            {"metadata": {str(number): "v" * 500 for number in range(5)}},
            [("/metadata", "invalid_value")],
        ),
        (
            {"amountInCents": -1, "currency": "", "captureMethod": "manual"},
            [
                ("/amountInCents", "amount_out_of_range"),
                ("/currency", "unknown_currency"),
                ("/captureMethod", "capture_method_unavailable"),
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


def test_both_forms_of_a_card() -> None:
    """The short form and the long one give the same ciphertext."""
    short = {"type": "charge", "card": {"ciphertext": "v1.k.c"}}
    long = {"type": "charge", "paymentMethod": {"type": "card", "ciphertext": "v1.k.c"}}
    assert read_charge(encode(short)) == read_charge(encode(long)) == "v1.k.c"


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"charge","card":{"ciphertext":"v1.k.c"}}',
        b' { "card" : { "ciphertext" : "v1.k.c" } ,\n"type" : "charge" } ',
        b'{"type":"charge","card":{"ciphertext":"v1.k\\u002ec"}}',
        b'{"typ\\u0065":"charge","card":{"ciphertext":"v1.k.c"}}',
    ],
)
def test_a_charge_is_read_however_it_is_written(body: bytes) -> None:
    """White space, order and escapes change nothing."""
    assert read_charge(body) == "v1.k.c"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"type":"charge","type":"charge","card":{"ciphertext":"v1.k.c"}}', "malformed_json"),
        (
            b'{"type":"charge","card":{"ciphertext":"v1.k.c"},"card":{"ciphertext":"v1.k.c"}}',
            "malformed_json",
        ),
        (
            b'{"type":"charge","card":{"ciphertext":"v1.x.y","ciphertext":"v1.k.c"}}',
            "malformed_json",
        ),
        (
            b'{"type":"charge","card":{"\\u0063iphertext":"v1.x.y","ciphertext":"v1.k.c"}}',
            "malformed_json",
        ),
        (b'{"type":"charge","card":{"ciphertext":"v1.k.c"}', "malformed_json"),
        (b'{"type":"charge","card":{"ciphertext":"v1.\xff"}}', "malformed_json"),
        (
            b'{"type":"charge","card":{"ciphertext":"4242424242424242"}}',
            "raw_card_data_refused",
        ),
        (
            b'{"type":"charge","card":{"ciphertext":"v1.k.c","cvc":"123"}}',
            "raw_card_data_refused",
        ),
    ],
)
def test_the_quick_way_lets_nothing_through(body: bytes, code: str) -> None:
    """A charge that is not plain is read by the strict way."""
    with pytest.raises(ProblemError) as caught:
        read_charge(body)
    assert caught.value.problem.code == code


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "", "missing_field"),
        ({"type": None}, "", "missing_field"),
        ({"type": 7}, "/type", "invalid_type"),
        ({"type": "steal"}, "/type", "invalid_value"),
        ({"type": "refund"}, "/type", "transaction_type_unavailable"),
        ({"type": "charge"}, "", "missing_field"),
        ({"type": "charge", "card": None}, "/card", "invalid_type"),
        ({"type": "charge", "card": {"ciphertext": "é"}}, "/card/ciphertext", "card_undecryptable"),
        (
            {"type": "charge", "card": {"ciphertext": "x" * 1_025}},
            "/card/ciphertext",
            "card_undecryptable",
        ),
        (
            {
                "type": "charge",
                "card": {"ciphertext": "a"},
                "paymentMethod": {"type": "card", "ciphertext": "a"},
            },
            "/paymentMethod",
            "invalid_value",
        ),
        (
            {"type": "charge", "paymentMethod": {"type": "iban", "ciphertext": "a"}},
            "/paymentMethod/type",
            "invalid_value",
        ),
    ],
)
def test_charges_that_break_a_rule(body: dict[str, Any], pointer: str, code: str) -> None:
    """What is no charge is named."""
    with pytest.raises(ProblemError) as caught:
        read_charge(encode(body))
    (fault,) = caught.value.problem.errors
    assert (fault.pointer, fault.code) == (pointer, code)
