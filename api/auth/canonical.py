"""The string a merchant signs, and its signature (contract 2). Vectors: docs/vectors/signing.json.

Ten lines joined by LF, none at the end: the label, the publishable key, the timestamp, the nonce,
the method, the Host header in lower case with the port as sent, the request target exactly as
sent, the Content-Type as sent or empty, the Idempotency-Key or empty, and the lower-case
hexadecimal SHA-256 of the raw body. Nothing is decoded, sorted or serialized again, so there is
nothing that two implementations could do differently.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

LABEL: Final = b"turnout-v1"
LINES: Final = 10
_sha256 = hashlib.sha256


class CanonicalStringError(ValueError):
    """A part contains a line feed: it could pass for two lines."""


def canonical_string(
    *,
    publishable_key: bytes,
    timestamp: bytes,
    nonce: bytes,
    method: bytes,
    host: bytes,
    target: bytes,
    content_type: bytes,
    idempotency_key: bytes,
    body: bytes,
) -> bytes:
    """The ten lines.

    Raises:
        CanonicalStringError: a part contains a line feed.
    """
    canonical = b"\n".join(
        (
            LABEL,
            publishable_key,
            timestamp,
            nonce,
            method,
            host.lower(),
            target,
            content_type,
            idempotency_key,
            _sha256(body).hexdigest().encode(),
        )
    )
    if canonical.count(b"\n") != LINES - 1:
        raise CanonicalStringError("a part of the canonical string contains a line feed")
    return canonical


def sign(secret_key: bytes, canonical: bytes) -> bytes:
    """HMAC-SHA256 under the ASCII bytes of the whole secret key `sk_…`: 32 bytes."""
    return hmac.digest(secret_key, canonical, "sha256")


def signature_header(signature: bytes) -> str:
    """The value of `X-Signature`."""
    return "sha256=" + signature.hex()
