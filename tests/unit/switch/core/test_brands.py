"""Brands from prefixes."""

from __future__ import annotations

import pytest

from switch.core.brands import card_brand


@pytest.mark.parametrize(
    ("pan", "brand"),
    [
        ("4242424242424242", "visa"),
        ("5555555555554444", "mastercard"),
        ("2221000000000009", "mastercard"),
        ("2720990000000007", "mastercard"),
        ("378282246310005", "amex"),
        ("6011111111111117", "discover"),
        ("3566002020360505", "jcb"),
        ("30569309025904", "diners"),
        ("6200000000000005", "unionpay"),
        ("9999999999999995", "unknown"),
        ("2721000000000000", "unknown"),
    ],
)
def test_brand_of_public_test_numbers(pan: str, brand: str) -> None:
    """The longest matching prefix range names the brand."""
    assert card_brand(pan) == brand
