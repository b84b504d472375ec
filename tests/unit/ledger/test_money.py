"""Currencies, and amounts for people."""

from __future__ import annotations

import pytest

from ledger.money import (
    CURRENCIES,
    UnknownCurrencyError,
    currency,
    format_amount,
    numeric_currency,
)


def test_currency_table_is_whole_and_unambiguous() -> None:
    """Codes are three lower-case letters, numerics three digits, both unique."""
    assert all(
        len(code) == 3 and code.isascii() and code.islower() and code == entry.code
        for code, entry in CURRENCIES.items()
    )
    numerics = [entry.numeric for entry in CURRENCIES.values()]
    assert all(len(numeric) == 3 and numeric.isdigit() for numeric in numerics)
    assert len(set(numerics)) == len(numerics)
    assert {entry.exponent for entry in CURRENCIES.values()} == {0, 2, 3}


@pytest.mark.parametrize(
    ("code", "numeric", "exponent"),
    [("usd", "840", 2), ("eur", "978", 2), ("jpy", "392", 0), ("kwd", "414", 3), ("all", "008", 2)],
)
def test_known_currencies(code: str, numeric: str, exponent: int) -> None:
    """Numeric codes keep their leading zeros, exponents follow ISO 4217."""
    assert numeric_currency(code) == numeric
    assert currency(code).exponent == exponent


@pytest.mark.parametrize("code", ["", "USD", "us", "usdx", "xxx", "xau"])
def test_unknown_currencies_are_refused(code: str) -> None:
    """Upper case, metals and inventions are no currencies to charge in."""
    with pytest.raises(UnknownCurrencyError):
        currency(code)


@pytest.mark.parametrize(
    ("amount", "code", "text"),
    [
        (2499, "usd", "24.99 USD"),
        (5, "usd", "0.05 USD"),
        (500, "jpy", "500 JPY"),
        (1250, "kwd", "1.250 KWD"),
        (-30, "eur", "-0.30 EUR"),
    ],
)
def test_amounts_for_people(amount: int, code: str, text: str) -> None:
    """Minor units show with as many decimals as the currency has."""
    assert format_amount(amount, code) == text
