"""The rules of what is done with an intent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from api.errors import ProblemError
from api.transaction_requests import (
    CancelIntent,
    CaptureIntent,
    CardBody,
    ChargeIntent,
    RefundIntent,
    TransactionBody,
    VerifyIntent,
    read_transaction,
)

encode = msgspec.json.encode
SEALED = {"ciphertext": "v1.k.c"}


def ciphertext(body: bytes) -> str:
    """The sealed card of a body that brings one."""
    read = read_transaction(body)
    assert isinstance(read, CardBody)
    return read.ciphertext


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"type": "capture"}, CaptureIntent(amount_in_cents=UNSET, final_capture=True)),
        (
            {"type": "capture", "amountInCents": 1, "finalCapture": False},
            CaptureIntent(amount_in_cents=1, final_capture=False),
        ),
        ({"type": "cancel"}, CancelIntent()),
        ({"type": "refund"}, RefundIntent(amount_in_cents=UNSET)),
        (
            {"type": "refund", "amountInCents": 999_999_999_999},
            RefundIntent(amount_in_cents=999_999_999_999),
        ),
    ],
)
def test_what_needs_no_card(body: dict[str, Any], read: TransactionBody) -> None:
    """Amounts may be left out; a capture is the last one unless it says otherwise."""
    assert read_transaction(encode(body)) == read


@pytest.mark.parametrize(("kind", "type_"), [("charge", ChargeIntent), ("verify", VerifyIntent)])
def test_what_brings_a_card(kind: str, type_: type[TransactionBody]) -> None:
    """Both are read alike, and told apart by their type."""
    body = read_transaction(encode({"type": kind, "card": SEALED}))
    assert type(body) is type_


def test_both_forms_of_a_card() -> None:
    """The short form and the long one give the same ciphertext."""
    short = {"type": "charge", "card": {"ciphertext": "v1.k.c"}}
    long = {"type": "charge", "paymentMethod": {"type": "card", "ciphertext": "v1.k.c"}}
    assert ciphertext(encode(short)) == ciphertext(encode(long)) == "v1.k.c"


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
    assert ciphertext(body) == "v1.k.c"


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
        read_transaction(body)
    assert caught.value.problem.code == code


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "", "missing_field"),
        ({"type": None}, "", "missing_field"),
        ({"type": 7}, "/type", "invalid_type"),
        ({"type": "steal"}, "/type", "invalid_value"),
        ({"type": "charge"}, "", "missing_field"),
        ({"type": "verify"}, "", "missing_field"),
        ({"type": "verify", "card": SEALED, "amountInCents": 1}, "/amountInCents", "unknown_field"),
        ({"type": "charge", "card": SEALED, "amountInCents": 1}, "/amountInCents", "unknown_field"),
        ({"type": "capture", "amountInCents": 0}, "/amountInCents", "amount_out_of_range"),
        ({"type": "capture", "amountInCents": 1.5}, "/amountInCents", "amount_out_of_range"),
        ({"type": "capture", "amountInCents": None}, "/amountInCents", "invalid_type"),
        ({"type": "capture", "finalCapture": 1}, "/finalCapture", "invalid_type"),
        ({"type": "capture", "card": SEALED}, "/card", "unknown_field"),
        ({"type": "cancel", "amountInCents": 1}, "/amountInCents", "unknown_field"),
        ({"type": "refund", "amountInCents": 10**12}, "/amountInCents", "amount_out_of_range"),
        ({"type": "refund", "finalCapture": True}, "/finalCapture", "unknown_field"),
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
def test_bodies_that_break_a_rule(body: dict[str, Any], pointer: str, code: str) -> None:
    """The first fault is named with its place."""
    with pytest.raises(ProblemError) as caught:
        read_transaction(encode(body))
    (fault,) = caught.value.problem.errors
    assert (fault.pointer, fault.code) == (pointer, code)


def test_an_unknown_member_is_told_the_known_ones() -> None:
    """The type among them, which tells the bodies apart."""
    with pytest.raises(ProblemError) as caught:
        read_transaction(encode({"type": "capture", "amount": 1}))
    assert caught.value.problem.detail.endswith("known are amountInCents, finalCapture, type")
