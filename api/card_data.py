"""Raw card data in requests: found and refused, so that it never reaches a table or a log.

Merchants must seal cards in the browser. A body that carries a member named like card data, or a
number that looks like a payment card's, is refused as a whole. To look like one, a group of
digits must begin and be as long as the card brands' numbers do and pass the Luhn check; spaces,
hyphens, dots and slashes between digits are ignored. So timestamps and order numbers, one in ten
of which passes the Luhn check, are let through unless they also look like a card's.

This is a net against mistakes, not against a merchant who wants to smuggle a number past it.
"""

from __future__ import annotations

import re
from typing import Final

from chassis.masking import passes_luhn

DIGITS_MIN: Final = 12
DIGITS_MAX: Final = 19

# Lower case without `_` and `-`; as whole names, so that `accountNumber` or `phoneNumber` may stay.
MEMBER_NAMES: Final = frozenset(
    {
        "cardcvc",
        "cardnumber",
        "cardsecuritycode",
        "csc",
        "cvc",
        "cvc2",
        "cvv",
        "cvv2",
        "number",
        "pan",
        "primaryaccountnumber",
        "securitycode",
        "track1",
        "track2",
        "trackdata",
    }
)
_UNIFORM = str.maketrans("", "", "_-")
_SEPARATORS = " \t\u00a0\u2010-\u2015./_-"
_RUN = re.compile(rf"[0-9](?:[{_SEPARATORS}]{{0,2}}[0-9]){{{DIGITS_MIN - 1},}}")
_GROUP = re.compile(r"[0-9]+")
_GROUPS_MAX: Final = 32  # of one run; more is no card number but a table

# First digits and lengths of the brands' numbers (ISO/IEC 7812 ranges as the brands publish them).
_SHAPE = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}"  # Visa: 13, 16, 19
    r"|5[1-5][0-9]{14}"  # Mastercard: 16
    r"|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"  # Mastercard 2221-2720
    r"|3[47][0-9]{13}"  # American Express: 15
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11,16}"  # Diners Club: 14-19
    r"|35[2-8][0-9]{13,16}"  # JCB: 16-19
    r"|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12,15}"  # Discover: 16-19
    r"|62[0-9]{14,17}"  # UnionPay: 16-19
    r"|(?:50|5[6-8]|6[0137])[0-9]{10,17}"  # Maestro: 12-19
)


def is_card_member(name: str) -> bool:
    """Whether a JSON member is named like card data."""
    return name.lower().translate(_UNIFORM) in MEMBER_NAMES


def holds_card_number(text: str) -> bool:
    """Whether a text holds what looks like a payment card number."""
    if len(text) < DIGITS_MIN:
        return False
    return any(_is_card_run(run[0]) for run in _RUN.finditer(text))


def is_card_number(number: int) -> bool:
    """Whether a JSON number looks like a payment card number."""
    return number >= 10 ** (DIGITS_MIN - 1) and _looks_like_card(str(number)[: DIGITS_MAX + 1])


def _is_card_run(run: str) -> bool:
    """Try every sequence of whole digit groups: an expiry date may stand beside the number."""
    groups = _GROUP.findall(run)[:_GROUPS_MAX]
    for start in range(len(groups)):
        digits = ""
        for group in groups[start:]:
            digits += group
            if len(digits) > DIGITS_MAX:
                break
            if _looks_like_card(digits):
                return True
    return False


def _looks_like_card(digits: str) -> bool:
    return _SHAPE.fullmatch(digits) is not None and passes_luhn(digits)
