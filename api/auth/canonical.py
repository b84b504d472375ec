"""The string a merchant signs, and its signature (contract 2). Vectors: docs/vectors/signing.json.

Ten lines joined by LF, none at the end: the label, the publishable key, the timestamp, the nonce,
the method, the Host header in lower case with the port as sent, the request target exactly as
sent, the Content-Type as sent or empty, the Idempotency-Key or empty, and the lower-case
hexadecimal SHA-256 of the raw body. Nothing is decoded, sorted or serialized again, so there is
nothing that two implementations could do differently.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from chassis.secrets import Key

LABEL: Final = b"turnout-v1"
LINES: Final = 10


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
    body_hash: bytes,
) -> bytes:
    """The ten lines; `body_hash` is the last of them.

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
            body_hash,
        )
    )
    if canonical.count(b"\n") != LINES - 1:
        raise CanonicalStringError("a part of the canonical string contains a line feed")
    return canonical


class SigningKey(Key):
    """A merchant's secret key: the ASCII bytes of the whole `sk_…`.

    What HMAC makes of the key alone is made once and copied for each message, which takes half
    the time of `hmac.digest`.
    """

    __slots__ = ("_begun",)

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self._begun = HMAC(value, SHA256())

    def sign(self, message: bytes) -> bytes:
        """HMAC-SHA256 of a message: 32 bytes."""
        mac = self._begun.copy()
        mac.update(message)
        return mac.finalize()
