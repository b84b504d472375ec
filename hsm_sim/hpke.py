"""HPKE base mode (RFC 9180), the receiver's half, over one primitive of the key's backend.

Theory of operation
-------------------
A sender makes a one-time key pair, agrees on a secret with our public key and sends the public
half (`enc`) in front of the ciphertext. Opening is four steps:

1. `dh = backend.dh(kid, enc)`: the only step that needs the private key, so the only one a real
   device has to do. Everything after it is hashing and runs here, for every backend alike.
2. Decapsulation (RFC 9180, 4.1): `dh`, `enc` and our public key become the KEM's shared secret.
3. The key schedule (5.1) mixes in `info`, the context that both sides know: the card opens for
   exactly the intent, merchant and mode it was sealed for.
4. AES-128-GCM with the key and base nonce of the schedule (single shot: sequence number 0).

The suite belongs to the key and is never read from a message, so there is no algorithm to
confuse. Steps 2 and 3 are six HMAC-SHA256. Two of them have an empty salt, which HMAC pads to
zeros: their inner state after the fixed label is computed once per suite and copied. What depends
on nothing but the suite (`psk_id_hash`, the labels) is a constant.

Every failure, whatever its step, leaves through one `raise OpenError` without cause or detail.
What ends before the tag check (wrong length, point not on the curve, low-order point) depends on
public bytes alone, so its timing tells a sender nothing about the key.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from hsm_sim.hmac_sha256 import hmac_sha256

KDF_HKDF_SHA256: Final = 0x0001
AEAD_AES_128_GCM: Final = 0x0001
KEY_BYTES: Final = 16  # Nk of AES-128-GCM
NONCE_BYTES: Final = 12  # Nn
TAG_BYTES: Final = 16  # Nt
HASH_BYTES: Final = 32  # Nh of HKDF-SHA256 and Nsecret of both KEMs
_VERSION: Final = b"HPKE-v1"
_MODE_BASE: Final = b"\x00"


class OpenError(Exception):
    """The one failure of opening: says nothing about which step refused or why."""


class Backend(Protocol):
    """Where private keys live: this process, or a device."""

    def dh(self, kid: str, enc: bytes) -> bytes:
        """Agree on a secret with the public key `enc` by the private key `kid`.

        Returns 32 bytes: the X25519 output, or the x coordinate on P-256.

        Raises:
            ValueError: `enc` is no valid public key of the key's curve.
        """


class KeySchedule(NamedTuple):
    """The values of RFC 9180, 5.1, in the names of its test vectors."""

    key_schedule_context: bytes
    secret: bytes
    key: bytes
    base_nonce: bytes


class HPKESuite:
    """One KEM with HKDF-SHA256 and AES-128-GCM, its constants computed once.

    `number` is the suite of contract 3 (1 = X25519, 2 = P-256); `enc_bytes` the length of the
    sender's encapsulated key.
    """

    def __init__(self, *, number: int, kem_id: int, enc_bytes: int) -> None:
        self.number = number
        self.kem_id = kem_id
        self.enc_bytes = enc_bytes
        kem_suite = b"KEM" + kem_id.to_bytes(2, "big")
        hpke_suite = b"HPKE" + b"".join(
            part.to_bytes(2, "big") for part in (kem_id, KDF_HKDF_SHA256, AEAD_AES_128_GCM)
        )
        self._eae_prk = _empty_salted(_VERSION + kem_suite + b"eae_prk")
        self._shared_secret_label = _expand_label(kem_suite, b"shared_secret", HASH_BYTES)
        self._info_hash = _empty_salted(_VERSION + hpke_suite + b"info_hash")
        psk_id_hash = _empty_salted(_VERSION + hpke_suite + b"psk_id_hash")  # the id is empty
        self._context_prefix = _MODE_BASE + psk_id_hash.finalize()
        self._secret_label = _VERSION + hpke_suite + b"secret"  # the psk behind it is empty
        self._key_label = _expand_label(hpke_suite, b"key", KEY_BYTES)
        self._nonce_label = _expand_label(hpke_suite, b"base_nonce", NONCE_BYTES)

    def shared_secret(self, dh: bytes, enc: bytes, public_key: bytes) -> bytes:
        """ExtractAndExpand of DHKEM (RFC 9180, 4.1) over the raw agreement `dh`."""
        extract = self._eae_prk.copy()
        extract.update(dh)
        return hmac_sha256(
            extract.finalize(), self._shared_secret_label + enc + public_key + b"\x01"
        )

    def key_schedule(self, shared_secret: bytes, info: bytes) -> KeySchedule:
        """KeySchedule of base mode (RFC 9180, 5.1)."""
        info_hash = self._info_hash.copy()
        info_hash.update(info)
        context = self._context_prefix + info_hash.finalize()
        last = context + b"\x01"
        secret = hmac_sha256(shared_secret, self._secret_label)
        return KeySchedule(
            context,
            secret,
            hmac_sha256(secret, self._key_label + last)[:KEY_BYTES],
            hmac_sha256(secret, self._nonce_label + last)[:NONCE_BYTES],
        )


def _empty_salted(label: bytes) -> HMAC:
    """Begin LabeledExtract (RFC 9180, 4) with an empty salt: what is left is to copy and go on."""
    state = HMAC(b"", SHA256())
    state.update(label)
    return state


def _expand_label(suite_id: bytes, label: bytes, length: int) -> bytes:
    """The fixed front of LabeledExpand (RFC 9180, 4): one HMAC block is enough for 32 bytes."""
    return length.to_bytes(2, "big") + _VERSION + suite_id + label


SUITES: Final = {
    1: HPKESuite(number=1, kem_id=0x0020, enc_bytes=32),
    2: HPKESuite(number=2, kem_id=0x0010, enc_bytes=65),
}


class Recipient(NamedTuple):
    """A key that opens: its id at the backend, its suite, its raw public half."""

    kid: str
    suite: HPKESuite
    public_key: bytes


def open_into(
    buffer: bytearray,
    *,
    backend: Backend,
    recipient: Recipient,
    sealed: bytes,
    info: bytes,
    aad: bytes | None = None,
) -> None:
    """Open `sealed` (enc ‖ ciphertext ‖ tag) into `buffer`, which the caller can wipe.

    The buffer's length is the expected plaintext length. The product passes no `aad`
    (RFC 9180, 8.1: a single-shot sender binds by `info`); the RFC's vectors do.

    Raises:
        OpenError: for every reason alike; the buffer's content is then meaningless.
    """
    kid, suite, public_key = recipient
    try:  # wrong lengths need no check of their own: each ends in a ValueError or a wrong tag
        enc = sealed[: suite.enc_bytes]
        shared_secret = suite.shared_secret(backend.dh(kid, enc), enc, public_key)
        _, _, key, nonce = suite.key_schedule(shared_secret, info)
        AESGCM(key).decrypt_into(nonce, sealed[suite.enc_bytes :], aad, buffer)
    except (ValueError, InvalidTag):
        raise OpenError from None
