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


class MoneyError(ValueError):
    """Base of what a merchant can get wrong about money; `code` is an error code of contract 4."""

    code: str


class AmountOutOfRangeError(MoneyError):
    """Not an integer between 1 and 999,999,999,999."""

    code = "amount_out_of_range"


class UnknownCurrencyError(MoneyError):
    """Not an ISO 4217 currency that cards are charged in."""

    code = "unknown_currency"


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


def check_amount(amount_minor: object) -> int:
    """The amount, if it is one.

    Raises:
        AmountOutOfRangeError: not an `int` (a bool is none), or outside the bounds.
    """
    if type(amount_minor) is not int:
        raise AmountOutOfRangeError("the amount must be an integer in the minor unit")
    if not AMOUNT_MINOR_MIN <= amount_minor <= AMOUNT_MINOR_MAX:
        raise AmountOutOfRangeError(
            f"the amount must lie between {AMOUNT_MINOR_MIN} and {AMOUNT_MINOR_MAX}"
        )
    return amount_minor


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
