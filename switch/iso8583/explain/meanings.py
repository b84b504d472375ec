"""What the codes in a message mean, where that is the same for every network of ISO 8583:1987.

Codes of one network's own stay without words: a wrong meaning misleads more than none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from ledger.money import CURRENCIES, format_amount
from switch.iso8583 import mti as mtis
from switch.iso8583.dialect import Dialect
from switch.iso8583.elements import DE

_CLASSES: Final = {
    "1": "authorization",
    "2": "financial",
    "3": "file action",
    "4": "reversal",
    "5": "reconciliation",
    "6": "administrative",
    "7": "fee collection",
    "8": "network management",
}
_FUNCTIONS: Final = {
    "0": "request",
    "1": "response",
    "2": "advice",
    "3": "advice response",
    "4": "notification",
}
_ORIGINS: Final = {"2": "issuer", "3": "issuer", "4": "other", "5": "other"}
_VERSIONS: Final = {"0": "1987", "1": "1993", "2": "2003"}

_TRANSACTIONS: Final = {
    "00": "sale",
    "01": "cash withdrawal",
    "02": "debit adjustment",
    "09": "sale with cash back",
    "20": "refund",
    "22": "credit adjustment",
    "28": "payment",
    "30": "balance inquiry",
    "38": "account verification",
    "40": "transfer",
}
_ACCOUNTS: Final = {"00": "default", "10": "savings", "20": "checking", "30": "credit"}
_RESPONSES: Final = {
    "00": "approved",
    "01": "refer to the issuer",
    "02": "refer to the issuer, special condition",
    "03": "invalid merchant",
    "04": "pick up the card",
    "05": "do not honor",
    "06": "error",
    "07": "pick up the card, special condition",
    "08": "approved with identification",
    "09": "in progress",
    "10": "approved in part",
    "11": "approved, VIP",
    "12": "invalid transaction",
    "13": "invalid amount",
    "14": "no such card",
    "15": "no such issuer",
    "19": "enter again",
    "21": "no action taken",
    "25": "original not found",
    "30": "format error",
    "40": "function not supported",
    "41": "lost card",
    "43": "stolen card",
    "46": "account closed",
    "51": "insufficient funds",
    "54": "expired card",
    "55": "incorrect PIN",
    "57": "not permitted to the cardholder",
    "58": "not permitted to the terminal",
    "59": "suspected fraud",
    "61": "over the amount limit",
    "62": "restricted card",
    "65": "over the count limit",
    "68": "response received too late",
    "75": "too many PIN tries",
    "78": "blocked, first use",
    "82": "incorrect CVC",
    "85": "verified, no reason to decline",
    "86": "PIN cannot be verified",
    "90": "cutover in progress",
    "91": "issuer or switch cannot be reached",
    "92": "no route to the issuer",
    "93": "violation of law",
    "94": "duplicate",
    "96": "malfunction",
}
_FIXED: Final[Mapping[int, Mapping[str, str]]] = {
    DE.POS_ENTRY_MODE: {
        "010": "typed in, PIN unknown",
        "0100": "typed in, PIN unknown",
        "012": "typed in, no PIN",
        "810": "electronic commerce, no PIN",
    },
    DE.POS_CONDITION_CODE: {"00": "card present", "08": "mail or phone", "59": "e-commerce"},
    DE.RESPONSE_CODE: _RESPONSES,
    66: {"1": "in balance", "2": "out of balance"},
}
_CURRENCIES: Final = {currency.numeric: currency.code for currency in CURRENCIES.values()}
_INQUIRY_ANSWER: Final = re.compile(r"([0-9A-Z]{2})(.{6})([0-9]{12})([01])")

Fields = Mapping[int, str]


def meaning_of(dialect: Dialect, fields: Fields, number: int) -> str:
    """Say in words what an element of a message means, or nothing.

    Args:
        dialect: names the network functions.
        fields: the message, as far as it is known; amounts need its currency.
        number: of the element.
    """
    text = fields[number]
    if number in _FIXED:
        return _FIXED[number].get(text, "")
    if number == DE.NETWORK_FUNCTION:
        return _network_function(dialect, text)
    describe = _DESCRIBED.get(number)
    return describe(fields, text) if describe else ""


def mti_in_words(mti: str) -> str:
    """Name a message type: version, class, function and origin."""
    version, message_class, function, origin = tuple(mti)
    words = [
        _CLASSES.get(message_class, "unknown class"),
        _FUNCTIONS.get(function, "unknown function"),
    ]
    if mti in (mtis.INQUIRY_REQUEST, mtis.INQUIRY_RESPONSE):
        words[0] = "inquiry"
    if origin in _ORIGINS:
        words.append(f"from {_ORIGINS[origin]}")
    if origin in "135":
        words.append("(repeat)")
    if version != "0":
        words.append(f"of version {_VERSIONS.get(version, version)}")
    return " ".join(words)


def is_inquiry_outcome(fields: Fields) -> bool:
    """Whether DE 62 is the outcome of an original, as a 0610 carries it, and nothing else."""
    return fields[0] == mtis.INQUIRY_RESPONSE and bool(
        _INQUIRY_ANSWER.fullmatch(fields[DE.PRIVATE_62])
    )


def _network_function(dialect: Dialect, text: str) -> str:
    for name, function in dialect.network_functions.items():
        if function == text:
            return name.replace("_", " ")
    return "none of the dialect's"


def _processing_code(_: Fields, text: str) -> str:
    kind = _TRANSACTIONS.get(text[:2], "")
    accounts = [_ACCOUNTS.get(account, "") for account in (text[2:4], text[4:])]
    if not kind or not all(accounts) or accounts == ["default", "default"]:
        return kind
    return f"{kind}, from {accounts[0]} to {accounts[1]} account"


def _amount(fields: Fields, text: str, currency_de: int = DE.CURRENCY) -> str:
    code = _CURRENCIES.get(fields.get(currency_de, ""))
    return format_amount(int(text), code) if code and text.isdecimal() else ""


def _settlement_amount(fields: Fields, text: str) -> str:
    return _amount(fields, text, DE.SETTLEMENT_CURRENCY)


def _net_amount(fields: Fields, text: str) -> str:
    amount = _amount(fields, text[1:], DE.SETTLEMENT_CURRENCY)
    return f"{amount} {'credit' if text[:1] == 'C' else 'debit'}".strip()


def _moment(_: Fields, text: str) -> str:
    return f"{text[:2]}-{text[2:4]} {text[4:6]}:{text[6:8]}:{text[8:]} UTC"


def _time(_: Fields, text: str) -> str:
    return f"{text[:2]}:{text[2:4]}:{text[4:]}"


def _date(_: Fields, text: str) -> str:
    return f"{text[:2]}-{text[2:]} (month-day)"


def _currency(_: Fields, text: str) -> str:
    return _CURRENCIES.get(text, "unknown").upper()


def _original(_: Fields, text: str) -> str:
    """DE 90: MTI, STAN, DE 7, acquirer and forwarding institution of the original."""
    parts = [f"{text[:4]}, STAN {text[4:10]}, sent {_moment({}, text[10:20])}"]
    for name, number in (("acquirer", text[20:31]), ("forwarded by", text[31:])):
        if number.strip("0"):
            parts.append(f"{name} {number.lstrip('0')}")
    return ", ".join(parts)


def _replacement(fields: Fields, text: str) -> str:
    remaining = _amount(fields, text[:12])
    return f"{remaining} remain" if remaining else ""


def _inquiry(fields: Fields, text: str) -> str:
    outcome = _INQUIRY_ANSWER.fullmatch(text)
    if outcome is None or fields[0] != mtis.INQUIRY_RESPONSE:
        return ""
    code, approval, amount, reversed_ = outcome.groups()
    words = [_RESPONSES.get(code, code)]
    if approval.strip():
        words.append(f"approval {approval.strip()}")
    words.append(_amount(fields, amount))
    if reversed_ == "1":
        words.append("since reversed")
    return "the original: " + ", ".join(filter(None, words))


_DESCRIBED: Final[Mapping[int, Callable[[Fields, str], str]]] = {
    DE.PROCESSING_CODE: _processing_code,
    DE.AMOUNT: _amount,
    5: _settlement_amount,
    DE.TRANSMISSION_DATE_TIME: _moment,
    DE.LOCAL_TIME: _time,
    DE.LOCAL_DATE: _date,
    DE.SETTLEMENT_DATE: _date,
    DE.CURRENCY: _currency,
    DE.SETTLEMENT_CURRENCY: _currency,
    DE.PRIVATE_62: _inquiry,
    **dict.fromkeys(range(86, 90), _settlement_amount),
    DE.ORIGINAL_DATA: _original,
    DE.REPLACEMENT_AMOUNTS: _replacement,
    97: _net_amount,
}
