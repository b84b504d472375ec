"""Credentials as they stand in a request's headers: read strictly, not yet believed."""

from __future__ import annotations

import re
from binascii import unhexlify
from datetime import datetime
from typing import Final

from msgspec import Struct

from api.http.parser import Request

_SIGNATURE_PREFIX: Final = b"sha256="
# A scheme may be written in any case (RFC 9110, 11.1).
_PUBLISHABLE_KEY = rb"(pk_(test|live)_[A-Za-z0-9_]{4,64})"
_AUTHORIZATION = re.compile(rb"(?i:Bearer) " + _PUBLISHABLE_KEY)
_TIMESTAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_NONCE = re.compile(rb"[A-Za-z0-9_-]{16,64}")
_SIGNATURE = re.compile(rb"sha256=[0-9a-f]{64}")
_CLIENT_SECRET = re.compile(rb"(pi_[0-9A-Za-z]{22})_secret_[A-Za-z0-9_-]{16,64}")
_IDEMPOTENCY_KEY = re.compile(rb"[\x20-\x7e]{1,255}")


class AuthenticationError(Exception):
    """The request does not prove who sent it.

    Attributes:
        code: what is wrong, for test mode and for metrics; a key of the error catalog.
        detail: names the header and the rule.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class SignedCredential(Struct, frozen=True, gc=False):
    """What a merchant's server sends with every request."""

    publishable_key: bytes
    live: bool
    timestamp: bytes
    timestamp_s: int  # seconds since 1970
    nonce: bytes
    signature: bytes  # 32 bytes


class BrowserCredential(Struct, frozen=True, gc=False):
    """What a browser sends: the publishable key and the secret of one intent."""

    publishable_key: bytes
    live: bool
    intent: str  # public id
    client_secret: str

    def __repr__(self) -> str:
        """Never the secret."""
        return f"BrowserCredential(intent={self.intent!r})"


class CredentialReader:
    """Reads credentials; remembers the last timestamp, which a busy server sees again and again."""

    __slots__ = ("_last_timestamp", "_last_timestamp_s")

    def __init__(self) -> None:
        self._last_timestamp: bytes | None = None
        self._last_timestamp_s = 0

    def read(self, request: Request) -> SignedCredential | BrowserCredential:
        """The credential of a request.

        Raises:
            AuthenticationError: `authentication_failed`; a header is missing or badly formed.
        """
        headers = request.headers
        key, live = _publishable_key(headers.get(b"authorization", b""))
        if b"x-client-secret" in headers:
            if b"x-signature" in headers:
                raise _failed("send either X-Signature or X-Client-Secret")
            return _browser_credential(key, headers[b"x-client-secret"], live=live)
        nonce = headers.get(b"x-request-nonce", b"")
        if _NONCE.fullmatch(nonce) is None:
            raise _badly_formed("X-Request-Nonce", nonce, "16 to 64 of A-Z a-z 0-9 _ -")
        signature = headers.get(b"x-signature", b"")
        if _SIGNATURE.fullmatch(signature) is None:
            form = "sha256= and 64 lower-case hexadecimal digits"
            raise _badly_formed("X-Signature", signature, form)
        timestamp = headers.get(b"x-request-timestamp", b"")
        return SignedCredential(
            key,
            live,
            timestamp,
            self._timestamp_s(timestamp),
            nonce,
            unhexlify(signature[len(_SIGNATURE_PREFIX) :]),
        )

    def _timestamp_s(self, timestamp: bytes) -> int:
        if timestamp != self._last_timestamp:
            self._last_timestamp_s = parse_timestamp(timestamp)
            self._last_timestamp = timestamp
        return self._last_timestamp_s


def parse_timestamp(timestamp: bytes) -> int:
    """Seconds since 1970 of `2026-01-02T03:04:05Z`: RFC 3339, UTC, whole seconds.

    Raises:
        AuthenticationError: any other form, or no such date.
    """
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise _badly_formed("X-Request-Timestamp", timestamp, "of the form 2026-01-02T03:04:05Z")
    try:
        return int(datetime.fromisoformat(timestamp.decode()).timestamp())
    except ValueError:
        raise _badly_formed("X-Request-Timestamp", timestamp, "an instant that exists") from None


def read_idempotency_key(request: Request) -> bytes | None:
    """The Idempotency-Key: empty if absent, None if it is badly formed."""
    key = request.headers.get(b"idempotency-key")
    if key is None:
        return b""
    return key if _IDEMPOTENCY_KEY.fullmatch(key) else None


def is_publishable_key(text: bytes) -> bool:
    """Whether a text has the form of a publishable key; nothing is said of whose."""
    return re.fullmatch(_PUBLISHABLE_KEY, text) is not None


def _publishable_key(authorization: bytes) -> tuple[bytes, bool]:
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        form = "Bearer and a publishable key pk_test_… or pk_live_…"
        raise _badly_formed("Authorization", authorization, form)
    return match[1], match[2] == b"live"


def _browser_credential(key: bytes, client_secret: bytes, *, live: bool) -> BrowserCredential:
    match = _CLIENT_SECRET.fullmatch(client_secret)
    if match is None:
        raise _badly_formed("X-Client-Secret", client_secret, "of the form pi_…_secret_…")
    return BrowserCredential(key, live, match[1].decode(), client_secret.decode())


def _badly_formed(name: str, value: bytes, form: str) -> AuthenticationError:
    return _failed(f"{name} must be {form}" if value else f"{name} is missing")


def _failed(detail: str) -> AuthenticationError:
    return AuthenticationError("authentication_failed", detail)
