"""Signatures as Standard Webhooks has them (standardwebhooks.com, version 1). Pure.

A secret is `whsec_` and the base64 of 32 random bytes. What is signed is the event's id, the
instant of the try in Unix seconds and the body, joined by dots; the signature is the HMAC-SHA256
under those bytes. While a secret is being rolled both sign, and whoever verifies takes either.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  what every secret begins with
SECRET_BYTES: Final = 32


def secret_text(key: bytes) -> str:
    """A secret as the merchant gets it."""
    return SECRET_PREFIX + b64encode(key).decode("ascii")


def signature_headers(
    keys: Sequence[bytes], *, event: str, at_s: int, body: bytes
) -> tuple[tuple[str, str], ...]:
    """The three headers.

    Args:
        keys: the bytes of every secret that is good now, the newest first.
        event: the event's public id, the same on every try.
        at_s: the instant of this try, Unix seconds.
        body: exactly what is sent.
    """
    signed = b"%b.%d.%b" % (event.encode("ascii"), at_s, body)
    signatures = " ".join(
        "v1," + b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii") for key in keys
    )
    return (
        ("webhook-id", event),
        ("webhook-timestamp", str(at_s)),
        ("webhook-signature", signatures),
    )
