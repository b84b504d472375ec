"""Whether a signed request is what it claims to be: time, key, signature, nonce, in this order.

The order matters (security.md 4). The cheap refusals come first; an unknown key costs the same
HMAC as a known one, so that timing does not tell which keys exist; and a nonce is remembered only
after the signature has proved right, so that strangers cannot fill the table.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from msgspec import Struct

from api.auth.canonical import SigningKey, canonical_string
from api.auth.credentials import AuthenticationError, SignedCredential
from api.http.parser import Request
from api.nonces import NonceTable

NONCE_MARGIN_S: Final = 2.0  # whole seconds on either side of the window
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
        nonces: remembers for twice the window and `NONCE_MARGIN_S`.
    """

    __slots__ = ("_nonces", "_window_s")

    def __init__(self, *, window_s: int, nonces: NonceTable) -> None:
        self._window_s = window_s
        self._nonces = nonces

    def check_time(self, credential: SignedCredential, now_s: float) -> None:
        """Refuse timestamps outside the window, or from before what the nonce table remembers.

        Raises:
            AuthenticationError: `timestamp_outside_window`.
        """
        timestamp_s = credential.timestamp_s
        if abs(now_s - timestamp_s) > self._window_s:
            raise AuthenticationError(
                "timestamp_outside_window",
                f"X-Request-Timestamp is more than {self._window_s} s from the server's clock",
            )
        if timestamp_s <= self._nonces.forgotten_until_s:
            raise AuthenticationError(
                "timestamp_outside_window",
                "X-Request-Timestamp is older than the server's memory of nonces: sign again",
            )

    def verify(
        self,
        credential: SignedCredential,
        merchant: Merchant | None,
        request: Request,
        monotonic_s: float,
    ) -> None:
        """Check the signature under every active secret, then use up the nonce.

        Raises:
            AuthenticationError: `unknown_key`, `signature_mismatch` or `nonce_reused`.
            NonceTableFullError: nothing is wrong with the request, but there is no memory left.
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
        if not self._nonces.use(
            credential.publishable_key, credential.nonce, credential.timestamp_s, monotonic_s
        ):
            raise AuthenticationError(
                "nonce_reused", "X-Request-Nonce was used before under this key"
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
