"""Amounts and currencies.

An amount is an integer in the minor unit of its currency (JPY 500 = ¥500) between 1 and
999,999,999,999: twelve digits are what DE 4 holds. Nothing here rounds, because nothing divides.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ledger.currencies import ISO_4217

AMOUNT_MINOR_MIN: Final = 1
AMOUNT_MINOR_MAX: Final = 999_999_999_999


class UnknownCurrencyError(ValueError):
    """Not an ISO 4217 currency that cards are charged in."""


@frozen
class Currency:
    """One currency of ISO 4217."""

    code: str  # three lower-case letters, as the API writes it
    numeric: str  # three digits, DE 49
    exponent: int  # decimal digits of the minor unit


def _read_table(table: str) -> dict[str, Currency]:
    words = table.split()
    rows = zip(words[0::3], words[1::3], words[2::3], strict=True)
    return {code: Currency(code, numeric, int(exponent)) for code, numeric, exponent in rows}


CURRENCIES: Final = _read_table(ISO_4217)


def currency(code: str) -> Currency:
    """The currency of a three-letter code in lower case.

    Raises:
        UnknownCurrencyError: no such currency; upper case is none.
    """
    found = CURRENCIES.get(code)
    if found is None:
        raise UnknownCurrencyError("the currency must be an ISO 4217 code in lower case")
    return found


def numeric_currency(code: str) -> str:
    """The three digits that DE 49 carries for a currency.

    Raises:
        UnknownCurrencyError: as `currency`.
    """
    return currency(code).numeric


def format_amount(amount_minor: int, code: str) -> str:
    """For people: `24.99 USD`, `500 JPY`, `1.250 KWD`."""
    exponent = currency(code).exponent
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(exponent + 1, "0")
    if exponent == 0:
        return f"{sign}{digits} {code.upper()}"
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]} {code.upper()}"
