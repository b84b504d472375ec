"""Raw card data is found, and little else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.card_data import holds_card_number, is_card_member, is_card_number
from chassis.masking import passes_luhn

NUMBERS = [
    "4242424242424242",
    "4000000000000002",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "30569309025904",
    "6011111111111117",
    "3566002020360505",
    "6200000000000005",
    "6759649826438453",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_card_numbers_of_every_brand_are_found(number: str) -> None:
    """Alone, in groups, in a sentence, beside expiry and code, as a JSON number."""
    groups = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    assert holds_card_number(number)
    assert holds_card_number(groups)
    assert holds_card_number(groups.replace(" ", "-"))
    assert holds_card_number(f"card {number}, thanks")
    assert holds_card_number(f"{groups} 12/30 123")
    assert holds_card_number(f"1 {groups}")
    assert is_card_number(int(number))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Order #1234",
        "20260102123456",
        "2026-01-02T03:04:05.123456Z",
        "4242424242424241",
        "424242424242424",
        "0000000000000000",
        "1767323045000000",
        "9" * 400,
        "ord_4242-4242",
        "+49 170 1234567 / +49 170 7654321",
    ],
)
def test_other_digits_pass(text: str) -> None:
    """Orders, instants, phone numbers and wrong check digits are let through."""
    assert not holds_card_number(text)


@given(st.integers(10**12, 10**19 - 1))
def test_only_what_passes_the_luhn_check_is_found(number: int) -> None:
    """The check digit is a condition for every shape."""
    assert not is_card_number(number) or passes_luhn(str(number))


def test_a_megabyte_of_digits_is_looked_through_quickly() -> None:
    """Nothing in the search backtracks (the test would take minutes)."""
    assert not holds_card_number("0 " * 32_000)
    assert not holds_card_number("0" * 65_536)
    assert not holds_card_number("0-. " * 16_000)


@pytest.mark.parametrize(
    "name", ["number", "cvc", "CVC", "card_number", "Card-Number", "cvv2", "pan"]
)
def test_members_named_like_card_data(name: str) -> None:
    """Whatever case or joints the name has."""
    assert is_card_member(name)


@pytest.mark.parametrize("name", ["orderNumber", "accountnumber", "phone_number", "japan", "card"])
def test_members_named_otherwise(name: str) -> None:
    """A part of a name is not the name."""
    assert not is_card_member(name)
