"""Digests that stand for an idempotency key and for the request made under it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 16
_SERVER, _BROWSER = b"\x00", b"\x01"


def key_digest(merchant_id: bytes, *, live: bool, intent_id: bytes = b"", key: bytes) -> bytes:
    """What makes a key unique: merchant, mode, credential class (for a browser also the intent).

    Args:
        merchant_id: 16 bytes.
        live: the mode.
        intent_id: 16 bytes where a browser sent the request, else empty.
        key: the Idempotency-Key as sent.
    """
    credential_class = _BROWSER if intent_id else _SERVER
    return _digest(merchant_id, b"\x01" if live else b"\x00", credential_class, intent_id, key)


def request_hash(method: bytes, target: bytes, body: bytes) -> bytes:
    """What makes two requests under one key the same request."""
    return _digest(method, target, body)


def _digest(*parts: bytes) -> bytes:
    """BLAKE2b-128 over the parts, each with its length before it, so that none can run over."""
    return blake2b(
        b"".join([b"%d:%b" % (len(part), part) for part in parts]), digest_size=DIGEST_BYTES
    ).digest()
