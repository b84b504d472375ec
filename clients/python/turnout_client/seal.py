"""Seal a card to the server's public key, the sender's half of the sealed card.

The card is encrypted by HPKE base mode (RFC 9180) to a key whose private half never leaves the
server's HSM, and bound by `info` to one mode, one merchant and one payment intent. The server's
API process relays the result and cannot read it.

    keys = ...  # the JSON of GET /keys; cache it for at most 300 s
    ciphertext = seal_card(
        keys=keys, mode="test", publishable_key="pk_test_…", intent_id="pi_…",
        number="4242424242424242", exp_month=12, exp_year=2030, cvc="123",
    )

The result goes into `{"type": "charge", "card": {"ciphertext": …}}`. A refusal with the code
`card_key_expired` means: fetch the keys again and seal once more.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

_PLAINTEXT_BYTES: Final = 256
_LABEL: Final = "turnout-card-v1"
_MODES: Final = ("test", "live")
_SUITES: Final = {
    1: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM),
    2: Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_128_GCM),
}
_KID_BYTES: Final = 8


class SealError(ValueError):
    """The card or the keys cannot be used; says which part and why, never the card."""


def seal_card(
    *,
    keys: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    mode: str,
    publishable_key: str,
    intent_id: str,
    number: str,
    exp_month: int,
    exp_year: int,
    cvc: str,
    name: str = "",
) -> str:
    """Seal one card for one payment intent.

    Args:
        keys: the answer of `GET /keys`, its list, or one entry of it; the first active key of
            the lowest suite number is used.
        mode: "test" or "live", as the publishable key.
        publishable_key: `pk_…` of the merchant that owns the intent.
        intent_id: `pi_…`.
        number: 12-19 digits, no spaces.
        exp_month: 1-12.
        exp_year: four digits, 2000-2099.
        cvc: 3-4 digits, or empty.
        name: the cardholder's; what fits into the plaintext (at least 221 bytes of UTF-8).

    Returns:
        `v1.<kid>.<base64url>`, good for one charge.

    Raises:
        SealError: an argument is out of its range, or no key can be used.
    """
    if mode not in _MODES:
        raise SealError("mode: must be test or live")
    key = _choose_key(keys)
    kid = _text(key, "kid")
    info = b"".join(
        len(part).to_bytes(2, "big") + part
        for part in (text.encode() for text in (_LABEL, kid, mode, publishable_key, intent_id))
    )
    plaintext = _plaintext(number, exp_month, exp_year, cvc, name)
    suite_number, public_key = _public_key(key, kid)
    sealed = _SUITES[suite_number].encrypt(plaintext, public_key, info)
    return f"v1.{kid}.{urlsafe_b64encode(sealed).rstrip(b'=').decode()}"


def _choose_key(keys: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    entries: Any = keys.get("keys", [keys]) if isinstance(keys, Mapping) else keys
    usable = [
        entry
        for entry in entries
        if entry.get("state") == "active" and entry.get("suite") in (1, 2)
    ]
    if not usable:
        raise SealError("keys: none is active with a suite this client knows")
    chosen: Mapping[str, Any] = min(usable, key=lambda entry: entry["suite"])
    return chosen


def _public_key(
    key: Mapping[str, Any], kid: str
) -> tuple[int, X25519PublicKey | EllipticCurvePublicKey]:
    """Parse the public key and check that the kid is really its digest."""
    suite_number: int = key["suite"]
    try:
        text = _text(key, "publicKey")
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        public_key: X25519PublicKey | EllipticCurvePublicKey
        if suite_number == 1:
            public_key = X25519PublicKey.from_public_bytes(raw)
        else:
            public_key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), raw)
    except ValueError as error:
        raise SealError(f"keys: publicKey of {kid} cannot be read: {error}") from None
    digest = hashlib.sha256(bytes((suite_number,)) + raw).digest()[:_KID_BYTES]
    if urlsafe_b64encode(digest).rstrip(b"=").decode() != kid:
        raise SealError(f"keys: publicKey does not belong to kid {kid}")
    return suite_number, public_key


def _text(key: Mapping[str, Any], member: str) -> str:
    value = key.get(member)
    if not isinstance(value, str):
        raise SealError(f"keys: an entry has no {member}")
    return value


def _plaintext(number: str, exp_month: int, exp_year: int, cvc: str, name: str) -> bytes:
    if not (12 <= len(number) <= 19 and number.isascii() and number.isdigit()):
        raise SealError("number: must be 12 to 19 digits")
    if not 1 <= exp_month <= 12:
        raise SealError("exp_month: must be 1 to 12")
    if not 2000 <= exp_year <= 2099:
        raise SealError("exp_year: must be 2000 to 2099, four digits")
    if len(cvc) not in (0, 3, 4) or (cvc and not (cvc.isascii() and cvc.isdigit())):
        raise SealError("cvc: must be 3 or 4 digits, or empty")
    fields = [text.encode() for text in (number, f"{exp_month:02d}", f"{exp_year:04d}", cvc, name)]
    if 1 + sum(1 + len(field) for field in fields) > _PLAINTEXT_BYTES:
        raise SealError("name: too long for the sealed card")
    record = b"\x01" + b"".join(bytes((len(field),)) + field for field in fields)
    return record.ljust(_PLAINTEXT_BYTES, b"\x00")
