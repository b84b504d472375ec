"""Sign a request, as the server will check it.

The signature is HMAC-SHA256 under the ASCII bytes of the whole secret key, over ten lines joined
by line feeds. Every retry is signed anew, with a new timestamp and a new nonce.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Final

LABEL: Final = "turnout-v1"
NONCE_BYTES: Final = 18  # 24 characters; the server takes 16 to 64


class SignError(ValueError):
    """A part cannot be signed; names the part."""


def canonical_string(
    *,
    publishable_key: str,
    timestamp: str,
    nonce: str,
    method: str,
    host: str,
    target: str,
    content_type: str,
    idempotency_key: str,
    body: bytes,
) -> str:
    """The ten lines that are signed.

    Args:
        publishable_key: `pk_…`.
        timestamp: as in `X-Request-Timestamp`.
        nonce: as in `X-Request-Nonce`.
        method: upper case.
        host: the `Host` header, with its port if it is sent with one; case does not matter.
        target: path and query exactly as sent.
        content_type: the `Content-Type` header, or empty.
        idempotency_key: the `Idempotency-Key` header, or empty.
        body: the raw bytes, none if there is no body.

    Raises:
        SignError: a part holds a line feed, so it could pass for two lines.
    """
    parts = {
        "label": LABEL,
        "publishable_key": publishable_key,
        "timestamp": timestamp,
        "nonce": nonce,
        "method": method,
        "host": host.lower(),
        "target": target,
        "content_type": content_type,
        "idempotency_key": idempotency_key,
        "body": hashlib.sha256(body).hexdigest(),
    }
    for name, part in parts.items():
        if "\n" in part:
            raise SignError(f"{name}: holds a line feed")
    return "\n".join(parts.values())


def signature(secret_key: str, canonical: str) -> str:
    """The value of `X-Signature`: `sha256=` and 64 lower-case hexadecimal digits.

    Raises:
        SignError: the secret key is not ASCII.
    """
    if not secret_key.isascii():
        raise SignError("secret_key: is not ASCII")
    digest = hmac.digest(secret_key.encode("ascii"), canonical.encode("utf-8"), "sha256")
    return f"sha256={digest.hex()}"


def timestamp_of(instant: datetime) -> str:
    """An aware instant as the header wants it: RFC 3339, UTC, whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def nonce_of(random: bytes) -> str:
    """`NONCE_BYTES` random bytes as a nonce of 24 characters."""
    return urlsafe_b64encode(random).decode("ascii")
