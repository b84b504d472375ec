"""What the HSM seals for others to keep: AES-256-GCM under a sub-key per day.

A blob is opaque to whoever stores it:

    0x01 ‖ key version (uint32) ‖ day (uint16, days since 1970) ‖ nonce (12) ‖ ciphertext ‖ tag (16)

Random 96-bit nonces are safe for 2^32 messages under one key (NIST SP 800-38D, 8.3), which a busy
system reaches within days. So each day has its own sub-key, derived from the key version by
HKDF-Expand (RFC 5869, 2.3; the key is uniformly random, so there is nothing to extract). The blob
names version and day, and both are authenticated with a label of the purpose and the context:
a blob copied to another row, merchant, purpose or key version does not open.

The keyed fingerprint tells whether two cards are the same without telling which card it is.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from hsm_sim.hmac_sha256 import hmac_sha256

NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 16
SECONDS_PER_DAY: Final = 86_400
CARD_LABEL: Final = b"turnout/transactions/sealed-card"
SECRET_LABEL: Final = b"turnout/merchants/secret"
_FORMAT: Final = 1
_HEADER: Final = struct.Struct(">BIH")
_TAG_BYTES: Final = 16
_BLOB_BYTES_MIN: Final = _HEADER.size + NONCE_BYTES + _TAG_BYTES
_CIPHERS_MAX: Final = 64  # sub-keys kept ready; each is one HMAC to derive again


class UnsealError(Exception):
    """The blob does not open here: other context, purpose or key, or altered. Never says which."""


class Sealer:
    """Seals for one purpose under its newest key version, opens under any version it has.

    Args:
        label: the purpose, bound into every blob and every sub-key.
        versions: 32-byte keys by version number; the highest seals.
    """

    def __init__(self, label: bytes, versions: Mapping[int, bytes]) -> None:
        if not versions or any(len(key) != KEY_BYTES for key in versions.values()):
            raise ValueError("a sealer needs 32-byte keys")
        self._label = label
        self._versions = dict(versions)
        self._newest = max(self._versions)
        self._ciphers: dict[tuple[int, int], AESGCM] = {}

    def seal(self, plaintext: bytes, context: bytes, *, day: int, nonce: bytes) -> bytes:
        """Seal one plaintext; `nonce` is 12 fresh random bytes, `day` the day it is sealed on."""
        header = _HEADER.pack(_FORMAT, self._newest, day)
        cipher = self._ciphers.get((self._newest, day)) or self._cipher(self._newest, day)
        return header + nonce + cipher.encrypt(nonce, plaintext, self._label + header + context)

    def unseal(self, blob: bytes, context: bytes) -> bytes:
        """Open a blob that `seal` made for the same context.

        Raises:
            UnsealError: for every reason alike.
        """
        if len(blob) < _BLOB_BYTES_MIN:
            raise UnsealError
        header = blob[: _HEADER.size]
        layout, version, day = _HEADER.unpack(header)
        if layout != _FORMAT or version not in self._versions:
            raise UnsealError
        cipher = self._ciphers.get((version, day)) or self._cipher(version, day)
        body = _HEADER.size + NONCE_BYTES
        try:
            return cipher.decrypt(
                blob[_HEADER.size : body], blob[body:], self._label + header + context
            )
        except InvalidTag:
            raise UnsealError from None

    def _cipher(self, version: int, day: int) -> AESGCM:
        if len(self._ciphers) >= _CIPHERS_MAX:
            del self._ciphers[next(iter(self._ciphers))]
        info = self._label + b"/day/" + day.to_bytes(2, "big")
        cipher = AESGCM(hmac_sha256(self._versions[version], info + b"\x01"))
        self._ciphers[version, day] = cipher
        return cipher


class Fingerprint:
    """HMAC-SHA256 of a card number, cut to 16 bytes; the key's inner state is kept ready."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("a fingerprint key has 32 bytes")
        self._keyed = HMAC(key, SHA256())

    def of(self, number: bytes) -> bytes:
        """Fingerprint the ASCII digits of a card number."""
        keyed = self._keyed.copy()
        keyed.update(number)
        return keyed.finalize()[:FINGERPRINT_BYTES]


def key_version(blob: bytes) -> int:
    """The key version that a blob names, to tell why it does not open; 0 where it names none.

    Nothing vouches for it: a blob that does open has shown that it told the truth.
    """
    if len(blob) < _BLOB_BYTES_MIN or blob[0] != _FORMAT:
        return 0
    version: int = _HEADER.unpack_from(blob)[1]
    return version


def day_of(now_s: int) -> int:
    """Count whole days since 1970-01-01 UTC."""
    return now_s // SECONDS_PER_DAY


def card_context(intent_id: bytes, merchant_id: bytes) -> bytes:
    """Build the context of a sealed card: the row it may stand in (two ids of 16 bytes)."""
    return intent_id + merchant_id
