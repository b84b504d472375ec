"""Time, key, signature: in this order and nothing out of it."""

from __future__ import annotations

import hmac

import pytest

from api.auth.canonical import SigningKey
from api.auth.credentials import AuthenticationError, SignedCredential
from api.auth.verify import Merchant, Verifier, canonical_of
from api.http.parser import Request

NOW_S = 1_767_323_045
OLD, NEW = SigningKey(b"sk_test_old"), SigningKey(b"sk_test_new")
REQUEST = Request(b"POST", b"/payment-intents", {b"host": b"Shop:80"}, b"{}", keep_alive=True)


def verifier() -> Verifier:
    """A verifier with the window of the contract."""
    return Verifier(window_s=300)


def merchant(*secrets: SigningKey) -> Merchant:
    """A merchant with these active secrets."""
    return Merchant(bytes(16), b"pk_test_docs", live=False, secrets=secrets)


def credential(
    secret: bytes, nonce: bytes = b"nonce_of_sixteen", timestamp_s: int = NOW_S
) -> SignedCredential:
    """A credential that signs REQUEST."""
    unsigned = SignedCredential(
        b"pk_test_docs",
        False,
        b"2026-01-02T03:04:05Z",
        timestamp_s,
        nonce,
        b"",
    )
    return SignedCredential(
        unsigned.publishable_key,
        unsigned.live,
        unsigned.timestamp,
        timestamp_s,
        nonce,
        hmac.digest(secret, canonical_of(unsigned, REQUEST), "sha256"),
    )


def refusal(verify: Verifier, signed: SignedCredential, who: Merchant | None) -> str:
    """The code that a credential is refused with."""
    with pytest.raises(AuthenticationError) as caught:
        verify.verify(signed, who, REQUEST)
    return caught.value.code


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_any_active_secret_verifies(secret: SigningKey) -> None:
    """While a merchant rolls its key both halves are good."""
    verifier().verify(credential(secret.reveal()), merchant(OLD, NEW), REQUEST)


def test_a_secret_that_is_not_active_does_not() -> None:
    """A revoked secret signs nothing."""
    assert refusal(verifier(), credential(OLD.reveal()), merchant(NEW)) == "signature_mismatch"


@pytest.mark.parametrize("guess", [b"", bytes(32), bytes(40), b"\0"])
def test_nobody_signs_for_a_merchant_without_secrets(guess: bytes) -> None:
    """Whatever stands in for the secret that is missing cannot be guessed."""
    assert refusal(verifier(), credential(guess), merchant()) == "unknown_key"
    assert refusal(verifier(), credential(guess), None) == "unknown_key"


@pytest.mark.parametrize(
    ("timestamp_s", "now_s", "inside"),
    [
        (NOW_S, NOW_S + 300, True),
        (NOW_S, NOW_S + 300.5, False),
        (NOW_S, NOW_S - 300, True),
        (NOW_S, NOW_S - 300.5, False),
    ],
)
def test_the_window(timestamp_s: int, now_s: float, inside: bool) -> None:  # noqa: FBT001
    """Both ends of the window are inside."""
    signed = credential(NEW.reveal(), timestamp_s=timestamp_s)
    if inside:
        verifier().check_time(signed, now_s)
        return
    with pytest.raises(AuthenticationError) as caught:
        verifier().check_time(signed, now_s)
    assert caught.value.code == "timestamp_outside_window"
