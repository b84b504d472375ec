"""Card brand from the PAN: the longest prefix range wins (ISO/IEC 7812 issuer ranges)."""

from __future__ import annotations

from functools import lru_cache

_PREFIX_DIGITS = 6  # of the longest range

_RANGES: tuple[tuple[str, str, str], ...] = (
    # first prefix, last prefix (same length), brand
    ("622126", "622925", "unionpay"),
    ("2221", "2720", "mastercard"),
    ("3528", "3589", "jcb"),
    ("6011", "6011", "discover"),
    ("644", "649", "discover"),
    ("300", "305", "diners"),
    ("34", "34", "amex"),
    ("36", "36", "diners"),
    ("37", "37", "amex"),
    ("38", "39", "diners"),
    ("51", "55", "mastercard"),
    ("62", "62", "unionpay"),
    ("65", "65", "discover"),
    ("81", "81", "unionpay"),
    ("4", "4", "visa"),
)


def card_brand(pan: str) -> str:
    """The brand's name in lower case, or "unknown"."""
    if pan[0] == "4":
        return "visa"
    return _brand_of_prefix(pan[:_PREFIX_DIGITS])


@lru_cache(maxsize=8_192)  # issuers whose cards come in; no more of a PAN than a log may show
def _brand_of_prefix(prefix: str) -> str:
    for first, last, brand in _RANGES:
        if first <= prefix[: len(first)] <= last:
            return brand
    return "unknown"
