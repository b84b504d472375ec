"""The sender's half: what it seals the server opens, and what it refuses to seal."""

from __future__ import annotations

import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from hsm_sim import envelope
from hsm_sim.backends import native
from hsm_sim.hpke import SUITES, OpenError, Recipient, open_into
from turnout_client.seal import SealError, seal_card

PRIVATE = bytes(range(32))
CLIENTS = Path(__file__).parents[3] / "clients" / "python"
CARD: dict[str, Any] = {
    "number": "4242424242424242",
    "exp_month": 3,
    "exp_year": 2030,
    "cvc": "123",
    "name": "Ä CARDHOLDER",
}
CONTEXT = {"mode": "test", "publishable_key": "pk_test_docs", "intent_id": "pi_docs"}


def _entry(suite: int, state: str = "active") -> dict[str, Any]:
    public = native.public_key(suite, PRIVATE)
    return {
        "kid": envelope.key_id(suite, public),
        "suite": suite,
        "publicKey": urlsafe_b64encode(public).rstrip(b"=").decode(),
        "state": state,
        "notAfter": "2030-01-01T00:00:00Z",
    }


def _open(text: str, suite: int, *, live: bool = False) -> envelope.ClearCard:
    kid, sealed = envelope.split(text)
    backend = native.NativeBackend()
    backend.load(kid, suite, PRIVATE)
    buffer = bytearray(256)
    open_into(
        buffer,
        backend=backend,
        recipient=Recipient(kid, SUITES[suite], native.public_key(suite, PRIVATE)),
        sealed=envelope.decode(sealed, envelope.sealed_chars(SUITES[suite])),
        info=envelope.card_info(
            envelope.info_prefix(kid, live=live), CONTEXT["publishable_key"], CONTEXT["intent_id"]
        ),
    )
    return envelope.parse_card(buffer)


@pytest.mark.parametrize("suite", [1, 2])
def test_the_server_opens_what_the_client_seals(suite: int) -> None:
    """Both suites, every field, a name outside ASCII."""
    card = _open(seal_card(keys=_entry(suite), **CONTEXT, **CARD), suite)
    assert card == envelope.ClearCard("4242424242424242", "03", "2030", "123", "Ä CARDHOLDER")


def test_each_sealing_is_fresh() -> None:
    """The same card sealed twice gives two texts: a ciphertext is accepted once per intent."""
    texts = {seal_card(keys=_entry(1), **CONTEXT, **CARD) for _ in range(3)}
    assert len(texts) == 3


def test_the_mode_is_bound() -> None:
    """A card sealed for live does not open as test."""
    text = seal_card(keys=_entry(1), **{**CONTEXT, "mode": "live"}, **CARD)
    assert _open(text, 1, live=True).number == CARD["number"]
    with pytest.raises(OpenError):
        _open(text, 1)


@pytest.mark.parametrize(
    "keys",
    [
        {"keys": [_entry(2), _entry(1, "decrypt_only"), _entry(1)]},
        [_entry(2), _entry(1)],
        (_entry(1),),
    ],
    ids=["the answer", "its list", "a tuple"],
)
def test_the_first_active_key_of_the_lowest_suite_is_chosen(keys: Any) -> None:
    """Key lists are taken in every form `GET /keys` suggests."""
    assert _open(seal_card(keys=keys, **CONTEXT, **CARD), 1).cvc == "123"


def test_p256_is_the_fallback() -> None:
    """Where no X25519 key is active, suite 2 serves."""
    keys = [_entry(1, "decrypt_only"), _entry(2)]
    assert _open(seal_card(keys=keys, **CONTEXT, **CARD), 2).cvc == "123"


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ([], "none is active"),
        ({"keys": [_entry(1, "decrypt_only")]}, "none is active"),
        ([{**_entry(1), "suite": 3}], "none is active"),
        ([{**_entry(1), "kid": "AAAAAAAAAAA"}], "does not belong"),
        ([{**_entry(1), "publicKey": "AAAA"}], "cannot be read"),
        ([{**_entry(2), "publicKey": "BAAA"}], "cannot be read"),
        ([{**_entry(2), "publicKey": urlsafe_b64encode(b"\x04" + bytes(64)).decode()}], "cannot"),
        ([{**_entry(1), "publicKey": 5}], "no publicKey"),
        ([{**_entry(1), "kid": None}], "no kid"),
    ],
)
def test_unusable_keys_are_refused(keys: Any, complaint: str) -> None:
    """A key list that was altered or is out of date never encrypts a card."""
    with pytest.raises(SealError, match=complaint):
        seal_card(keys=keys, **CONTEXT, **CARD)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"number": "4242 4242 4242 4242"}, "number"),
        ({"number": "4" * 11}, "number"),
        ({"number": "4" * 20}, "number"),
        ({"number": "٤" * 16}, "number"),
        ({"exp_month": 0}, "exp_month"),
        ({"exp_month": 13}, "exp_month"),
        ({"exp_year": 30}, "exp_year"),
        ({"exp_year": 2100}, "exp_year"),
        ({"cvc": "12"}, "cvc"),
        ({"cvc": "12345"}, "cvc"),
        ({"cvc": "12a"}, "cvc"),
        ({"name": "x" * 222}, "name"),
        ({"name": "x" * 400}, "name"),
    ],
)
def test_a_card_out_of_range_is_refused_by_place(change: dict[str, Any], complaint: str) -> None:
    """The error names the argument and never repeats what it held."""
    card = {**CARD, "cvc": "1234", "number": "4" * 19, **change}
    with pytest.raises(SealError, match=f"^{complaint}:") as caught:
        seal_card(keys=_entry(1), **CONTEXT, **card)
    for value in change.values():
        assert str(value) not in str(caught.value) or len(str(value)) < 3


def test_the_longest_name_fits() -> None:
    """With the longest number and CVC there is room for 221 bytes of name."""
    card = {**CARD, "cvc": "1234", "number": "4" * 19, "name": "x" * 221}
    assert _open(seal_card(keys=_entry(1), **CONTEXT, **card), 1).name == "x" * 221


def test_an_unknown_mode_is_refused() -> None:
    """There are two modes."""
    with pytest.raises(SealError, match="mode"):
        seal_card(keys=_entry(1), **{**CONTEXT, "mode": "sandbox"}, **CARD)


def test_the_client_imports_nothing_of_the_product() -> None:
    """Alone on the path, without the checkout, the client imports and seals."""
    code = (
        "import sys, turnout_client.seal\n"
        "product = {'api', 'chassis', 'hsm_sim', 'ledger', 'network_sim', 'switch', 'turnout'}\n"
        "sys.exit(bool(product & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CLIENTS,
        env={"PYTHONPATH": str(CLIENTS), "PYTHONSAFEPATH": "1"},
        check=False,
        capture_output=True,
    )
    assert (run.returncode, run.stderr) == (0, b"")
