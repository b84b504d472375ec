"""HMAC-SHA256 (RFC 2104) under a key that is used once, for the hot path.

`hmac.digest` looks its algorithm up in OpenSSL's providers at every call, which takes longer than
hashing the short texts we have. `hashlib.sha256` remembers it, and HMAC is two plain digests:

    HMAC(key, text) = H(key ⊕ opad ‖ H(key ⊕ ipad ‖ text))

A key that stays is better kept as a `cryptography` HMAC and copied: its two blocks are hashed then.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

_BLOCK_BYTES: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """Compute the 32 bytes of HMAC-SHA256 under a key of at most 64 bytes.

    Raises:
        ValueError: the key is longer: RFC 2104 would hash it first, and no key of ours is.
    """
    padded = key.ljust(_BLOCK_BYTES, b"\x00")
    if len(padded) != _BLOCK_BYTES:
        raise ValueError("an HMAC key has at most 64 bytes here")
    inner = sha256(padded.translate(_INNER) + text).digest()
    return sha256(padded.translate(_OUTER) + inner).digest()
