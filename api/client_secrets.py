"""The secret that lets one browser see and charge one intent.

It is derived from the merchant's secret key and the intent's id rather than drawn, so that a
merchant who lost the answer to a creation gets the same secret again when it repeats the request
(contract 4: same key, same answer), although only its hash is stored. HMAC-SHA256 with a label of
its own gives nothing away about the key. Once the merchant has rolled the key that derived it, a
repeat has no client secret any more; the one handed out stays good.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

from api.auth.canonical import SigningKey

_LABEL: Final = b"turnout-client-secret-v1\n"
_DERIVED_BYTES: Final = 24  # 192 bits, 32 characters of base64url


def derive(secret_key: SigningKey, intent_id: bytes, public_intent_id: str) -> str:
    """`pi_…_secret_…` for an intent (16 bytes and its public form)."""
    derived = secret_key.sign(_LABEL + intent_id)[:_DERIVED_BYTES]
    return f"{public_intent_id}_secret_{urlsafe_b64encode(derived).decode()}"


def digest(client_secret: str) -> bytes:
    """What is stored of a client secret: its SHA-256, 32 bytes."""
    return hashlib.sha256(client_secret.encode()).digest()


def matches(client_secret: str, stored: bytes) -> bool:
    """Whether a client secret is the one whose digest is stored; in constant time."""
    return hmac.compare_digest(digest(client_secret), stored)


def recover(
    secret_keys: Iterable[SigningKey], intent_id: bytes, public_intent_id: str, stored: bytes
) -> str | None:
    """The client secret that was handed out, if an active key still derives it."""
    for secret_key in secret_keys:
        candidate = derive(secret_key, intent_id, public_intent_id)
        if matches(candidate, stored):
            return candidate
    return None
