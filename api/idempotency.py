"""Digests that stand for an idempotency key and for the request made under it.

BLAKE2b-128 over the parts, each of varying length with its length before it, so that none can run
over into the next.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 16
_SERVER, _BROWSER = b"s", b"b"  # one byte each, so they need no length before them
_TEST, _LIVE = b"t", b"l"


def key_digest(merchant_id: bytes, *, live: bool, intent_id: bytes = b"", key: bytes) -> bytes:
    """What makes a key unique: merchant, mode, credential class (for a browser also the intent).

    Args:
        merchant_id: 16 bytes.
        live: the mode.
        intent_id: 16 bytes where a browser sent the request, else empty.
        key: the Idempotency-Key as sent.
    """
    credential_class = _BROWSER if intent_id else _SERVER
    mode = _LIVE if live else _TEST
    return _digest(
        b"%d:%b%b%b%d:%b%d:%b"
        % (
            len(merchant_id),
            merchant_id,
            mode,
            credential_class,
            len(intent_id),
            intent_id,
            len(key),
            key,
        )
    )


def request_hash(method: bytes, target: bytes, body: bytes) -> bytes:
    """What makes two requests under one key the same request."""
    return _digest(b"%d:%b%d:%b%d:%b" % (len(method), method, len(target), target, len(body), body))


def _digest(parts: bytes) -> bytes:
    return blake2b(parts, digest_size=DIGEST_BYTES).digest()
