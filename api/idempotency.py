"""Digests that stand for an idempotency key and for the request made under it.

BLAKE2b-128 over the parts, in an order that lets none run over into the next: what varies in length
either comes last or cannot hold what ends it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from api.http.parser import Request

DIGEST_BYTES: Final = 16
_SERVER, _BROWSER = b"s", b"b"  # an intent follows the latter, and nothing the former
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
    parts = merchant_id + mode + credential_class + intent_id + key
    return blake2b(parts, digest_size=DIGEST_BYTES).digest()


def request_hash(request: Request) -> bytes:
    """What makes two requests under one key the same request: method, target and body.

    Neither a method nor a target holds a space; the body's hash is there for the signature.
    """
    parts = b"%b %b %b" % (request.method, request.target, request.body_hash())
    return blake2b(parts, digest_size=DIGEST_BYTES).digest()
