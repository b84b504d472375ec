"""Meanings: codes in words, and no words where there are none."""

from __future__ import annotations

import pytest

from switch.iso8583 import load_dialect
from switch.iso8583.explain.meanings import meaning_of, mti_in_words

NET87B, VIP = load_dialect("net87b"), load_dialect("vip")


@pytest.mark.parametrize(
    ("mti", "words"),
    [
        ("0100", "authorization request"),
        ("0110", "authorization response"),
        ("0221", "financial advice (repeat)"),
        ("0430", "reversal advice response"),
        ("0422", "reversal advice from issuer"),
        ("0610", "inquiry response"),
        ("0620", "administrative advice"),
        ("0810", "network management response"),
        ("1804", "network management request from other of version 1993"),
        ("0990", "unknown class unknown function"),
    ],
)
def test_message_types_in_words(mti: str, words: str) -> None:
    """Class, function, origin and version."""
    assert mti_in_words(mti) == words


@pytest.mark.parametrize(
    ("number", "text", "others", "words"),
    [
        (3, "000000", {}, "sale"),
        (3, "200000", {}, "refund"),
        (3, "001020", {}, "sale, from savings to checking account"),
        (3, "990000", {}, ""),
        (4, "000000002499", {49: "840"}, "24.99 USD"),
        (4, "000000000500", {49: "392"}, "500 JPY"),
        (4, "000000001250", {49: "414"}, "1.250 KWD"),
        (4, "000000002499", {}, ""),
        (4, "000000002499", {49: "000"}, ""),
        (7, "0102030405", {}, "01-02 03:04:05 UTC"),
        (12, "235959", {}, "23:59:59"),
        (13, "1231", {}, "12-31 (month-day)"),
        (22, "810", {}, "electronic commerce, no PIN"),
        (25, "59", {}, "e-commerce"),
        (39, "51", {}, "insufficient funds"),
        (39, "ZZ", {}, ""),
        (49, "978", {}, "EUR"),
        (49, "XYZ", {}, "UNKNOWN"),
        (66, "2", {}, "out of balance"),
        (70, "301", {}, "echo"),
        (70, "101", {}, "key push"),
        (70, "999", {}, "none of the dialect's"),
        (88, "0000000000002499", {50: "840"}, "24.99 USD"),
        (97, "D0000000000002499", {50: "840"}, "24.99 USD debit"),
        (95, "000000000400" + "0" * 12 + "C00000000" * 2, {49: "840"}, "4.00 USD remain"),
        (11, "000001", {}, ""),
    ],
)
def test_elements_in_words(number: int, text: str, others: dict[int, str], words: str) -> None:
    """What is the same for every network; amounts by their currency."""
    fields = {0: "0200", **others, number: text}
    assert meaning_of(NET87B, fields, number) == words


def test_the_original_is_taken_apart() -> None:
    """DE 90 holds five numbers; those of zeros are left out."""
    text = "020000000101020304050000040000100000000000"
    words = "0200, STAN 000001, sent 01-02 03:04:05 UTC, acquirer 400001"
    assert meaning_of(NET87B, {0: "0420", 90: text}, 90) == words


def test_functions_are_the_dialects() -> None:
    """071 is a sign-on in one dialect and nothing in another."""
    assert meaning_of(VIP, {0: "0800", 70: "071"}, 70) == "sign on"
    assert meaning_of(NET87B, {0: "0800", 70: "071"}, 70) == "none of the dialect's"
