"""The sealed card of contract 3: every published vector, and the parser on its own."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm_sim import envelope
from hsm_sim.backends.native import NativeBackend, public_key
from hsm_sim.envelope import ClearCard
from hsm_sim.hpke import SUITES, OpenError, Recipient, open_into

VECTORS = json.loads((Path(__file__).parents[3] / "docs" / "vectors" / "card.json").read_text())
CONTRACT_CIPHERTEXT = (
    "v1.3vNMky2BYyw.NveVSao8JxQPh-8fwS4m9qKFL47FVe81PwTgZQoQ1VGuAUkdDeZZle_CJm29SVSOroHJLjoZEgCKO"
    "fiy7FuUdBdBnmi9oa-MfXM4_A3Q7dYpTk-FJA4Uzijh5l-LvM0oWPLx46uGB1cSWnfU07V-qaUy0JInMDefcyofmBPaX"
    "ui2ecIQRlqr3x2POAnPVKN8wjFhodlBB99idyPjg7aGC95xc578QSIexKYzCDcjqr0ew3mBp9AMtwN4qtKDifLSRY4E6"
    "trXFLx8Rg-EHI2b1H_0o4NPJUyIgMiwDaEURbv9X3blvNEJ2ltVK-tHdxV6UtUr1scra6io35joSLgOarn1M6W11bCuy"
    "5xwDBAw6mwBMgFENyeDhgYVfVhAY1m3SqEYNxWen03n90SNlHJzxg"
)


def _name(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def _open(ciphertext: str, context: dict[str, str]) -> ClearCard:
    """Open as the server does, with the vectors' keys; an unknown kid is the same error."""
    kid, text = envelope.split(ciphertext)
    keys = {key["kid"]: key for key in VECTORS["keys"]}
    if kid not in keys:
        raise OpenError
    suite = SUITES[keys[kid]["suite"]]
    backend = NativeBackend()
    backend.load(kid, suite.number, bytes.fromhex(keys[kid]["privateKey"]))
    prefix = envelope.info_prefix(kid, live=context["mode"] == "live")
    buffer = bytearray(envelope.PLAINTEXT_BYTES)
    open_into(
        buffer,
        backend=backend,
        recipient=Recipient(kid, suite, bytes.fromhex(keys[kid]["publicKey"])),
        sealed=envelope.decode(text, envelope.sealed_chars(suite)),
        info=envelope.card_info(prefix, context["publishableKey"], context["intent"]),
    )
    return envelope.parse_card(buffer)


def _plaintext(*fields: bytes, version: int = 1) -> bytes:
    record = bytes((version,)) + b"".join(bytes((len(field),)) + field for field in fields)
    return record.ljust(envelope.PLAINTEXT_BYTES, b"\x00")


GOOD = (b"4242424242424242", b"12", b"2030", b"123", b"A CARDHOLDER")


def test_the_contracts_vector_opens() -> None:
    """The one vector printed in the contract opens to the card printed beside it."""
    card = _open(
        CONTRACT_CIPHERTEXT,
        {"mode": "test", "publishableKey": "pk_test_docs", "intent": "pi_docs"},
    )
    assert card == ClearCard("4242424242424242", "12", "2030", "123", "A CARDHOLDER")
    assert VECTORS["opens"][0]["ciphertext"] == CONTRACT_CIPHERTEXT


@pytest.mark.parametrize("key", VECTORS["keys"], ids=lambda key: key["kid"])
def test_published_keys_are_consistent(key: dict[str, Any]) -> None:
    """Public key and kid of the vector file follow from its private key."""
    public = public_key(key["suite"], bytes.fromhex(key["privateKey"]))
    assert public.hex() == key["publicKey"]
    assert envelope.key_id(key["suite"], public) == key["kid"]


@pytest.mark.parametrize("vector", VECTORS["seals"], ids=_name)
def test_published_steps_of_sealing_are_right(vector: dict[str, Any]) -> None:
    """Each value on the way from the ephemeral key to the text is the one that opening sees."""
    suite = SUITES[vector["suite"]]
    ephemeral, recipient = (
        bytes.fromhex(vector[name]) for name in ("ephemeralPrivateKey", "publicKey")
    )
    enc = public_key(suite.number, ephemeral)
    backend = NativeBackend()
    backend.load("ephemeral", suite.number, ephemeral)
    dh = backend.dh("ephemeral", recipient)
    shared_secret = suite.shared_secret(dh, enc, recipient)
    schedule = suite.key_schedule(shared_secret, bytes.fromhex(vector["info"]))
    found = {
        "enc": enc,
        "dh": dh,
        "sharedSecret": shared_secret,
        "keyScheduleContext": schedule.key_schedule_context,
        "secret": schedule.secret,
        "key": schedule.key,
        "baseNonce": schedule.base_nonce,
        "plaintext": _plaintext(*(text.encode() for text in vector["card"].values())),
    }
    assert {name: value.hex() for name, value in found.items()} == {
        name: vector[name] for name in found
    }


@pytest.mark.parametrize("vector", VECTORS["seals"] + VECTORS["opens"], ids=_name)
def test_published_cards_open(vector: dict[str, Any]) -> None:
    """Every positive vector opens to its card, under the info the file prints."""
    context, card = vector["context"], vector["card"]
    prefix = envelope.info_prefix(
        vector["ciphertext"].split(".")[1], live=context["mode"] == "live"
    )
    info = envelope.card_info(prefix, context["publishableKey"], context["intent"])
    assert info.hex() == vector["info"]
    assert _open(vector["ciphertext"], context) == ClearCard(**card)


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=_name)
def test_published_faults_are_refused_alike(vector: dict[str, Any]) -> None:
    """Every negative vector raises the one error, which says nothing."""
    with pytest.raises(OpenError) as caught:
        _open(vector["ciphertext"], vector["context"])
    assert caught.value.args == ()


def test_one_ciphertext_has_one_text() -> None:
    """Of all last characters only the canonical one is taken, so no second spelling exists."""
    chars = envelope.sealed_chars(SUITES[1])
    text = CONTRACT_CIPHERTEXT.split(".")[2]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = []
    for last in alphabet:
        try:
            decoded = envelope.decode(text[:-1] + last, chars)
        except OpenError:
            continue
        if decoded == envelope.decode(text, chars):
            same.append(last)
    assert same == [text[-1]]


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_split_or_refused(text: str) -> None:
    """No text makes the envelope parser fail in another way than its own error."""
    try:
        kid, sealed = envelope.split(text)
    except OpenError:
        return
    assert text == f"v1.{kid}.{sealed}"


@given(st.text(alphabet="AQgwxyz-_+/=. \n\u00c4\ud800", min_size=8, max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_base64_is_decoded_or_refused(text: str) -> None:
    """What decodes consists of the URL alphabet alone."""
    try:
        envelope.decode(text, 8)
    except OpenError:
        return
    assert not set(text) & set("+/=. \n\u00c4\ud800")


@given(st.binary(min_size=256, max_size=256))
@settings(max_examples=200, deadline=None)
def test_any_plaintext_is_parsed_or_refused(plaintext: bytes) -> None:
    """Random bytes behind a valid tag raise the one error, never an IndexError."""
    with pytest.raises(OpenError):
        envelope.parse_card(b"\x01" + plaintext[1:])


@pytest.mark.parametrize("cut", [*range(26), *range(27, 30)])
def test_a_record_that_ends_early_is_refused(cut: int) -> None:
    """Zeros from within number, expiry or CVC on leave no card behind."""
    with pytest.raises(OpenError):
        envelope.parse_card(_plaintext(*GOOD)[:cut].ljust(256, b"\x00"))


def test_cvc_and_name_may_be_empty() -> None:
    """Zeros from the CVC's length on are a card without CVC and name."""
    card = envelope.parse_card(_plaintext(*GOOD)[:26].ljust(256, b"\x00"))
    assert (card.cvc, card.name) == ("", "")


def test_a_card_cannot_be_printed_pickled_or_copied() -> None:
    """The parsed card shows itself masked and refuses to leave by the usual doors."""
    card = envelope.parse_card(_plaintext(*GOOD))
    assert "4242" not in f"{card!r} {card!s} {card}"
    with pytest.raises(TypeError):
        pickle.dumps(card)
    with pytest.raises(TypeError):
        copy.deepcopy(card)
