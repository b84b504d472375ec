"""Whether a signed request is what it claims to be: time, key, signature, in this order.

The order matters (security.md 4). The cheap refusals come first, and an unknown key costs the same
HMAC as a known one, so that timing does not tell which keys exist. The nonce comes after all of
this (`api.limits.admission`), so that strangers cannot fill the memory of nonces.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from msgspec import Struct

from api.auth.canonical import SigningKey, canonical_string
from api.auth.credentials import AuthenticationError, SignedCredential
from api.http.parser import Request

_DUMMY_SECRETS: Final = (SigningKey(secrets.token_bytes(40)),)  # nobody can sign with it


class Merchant(Struct, frozen=True, gc=False):
    """Who a publishable key belongs to, as the api keeps it in memory for a while."""

    merchant_id: bytes
    publishable_key: bytes
    live: bool
    secrets: tuple[SigningKey, ...]  # the active ones; two while the merchant rolls its key
    browser_origins: tuple[str, ...] = ()  # of its pages, as the ledger has them


class Verifier:
    """Verifies signed requests.

    Args:
        window_s: how far a timestamp may be from the server's clock, both ways.
    """

    __slots__ = ("_window_s",)

    def __init__(self, *, window_s: int) -> None:
        self._window_s = window_s

    def check_time(self, credential: SignedCredential, now_s: float) -> None:
        """Refuse timestamps outside the window.

        Raises:
            AuthenticationError: `timestamp_outside_window`.
        """
        if abs(now_s - credential.timestamp_s) > self._window_s:
            raise AuthenticationError(
                "timestamp_outside_window",
                f"X-Request-Timestamp is more than {self._window_s} s from the server's clock",
            )

    def verify(
        self,
        credential: SignedCredential,
        merchant: Merchant | None,
        request: Request,
    ) -> None:
        """Check the signature under every active secret.

        Raises:
            AuthenticationError: `unknown_key` or `signature_mismatch`.
        """
        canonical = canonical_of(credential, request)
        matches = False
        for secret in _secrets_of(merchant):
            # Every secret is tried, also after a match: time must not tell which one it was.
            matches |= hmac.compare_digest(secret.sign(canonical), credential.signature)
        if merchant is None or not merchant.secrets:
            raise AuthenticationError("unknown_key", "no merchant has this key")
        if not matches:
            raise AuthenticationError(
                "signature_mismatch",
                "X-Signature does not fit canonicalString under any active secret key",
            )


def canonical_of(credential: SignedCredential, request: Request) -> bytes:
    """The ten lines of a request as it arrived."""
    headers = request.headers
    return canonical_string(
        publishable_key=credential.publishable_key,
        timestamp=credential.timestamp,
        nonce=credential.nonce,
        method=request.method,
        host=headers.get(b"host", b""),
        target=request.target,
        content_type=headers.get(b"content-type", b""),
        idempotency_key=headers.get(b"idempotency-key", b""),
        body_hash=request.body_hash(),
    )


def _secrets_of(merchant: Merchant | None) -> tuple[SigningKey, ...]:
    """What to compare with; never nothing, so that every answer takes an HMAC."""
    if merchant is None or not merchant.secrets:
        return _DUMMY_SECRETS
    return merchant.secrets
