"""Credentials read from headers."""

from __future__ import annotations

import pytest

from api.auth.credentials import (
    AuthenticationError,
    BrowserCredential,
    CredentialReader,
    SignedCredential,
    parse_timestamp,
    read_idempotency_key,
)
from api.http.parser import Request

SIGNED = {
    b"authorization": b"Bearer pk_test_docs",
    b"x-request-timestamp": b"2026-01-02T03:04:05Z",
    b"x-request-nonce": b"a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    b"x-signature": b"sha256=" + b"0f" * 32,
}
SECRET = b"pi_" + b"0" * 22 + b"_secret_" + b"x" * 32


def request(headers: dict[bytes, bytes]) -> Request:
    """A GET with these headers."""
    return Request(b"GET", b"/", headers, b"", keep_alive=True)


def test_a_signed_credential_is_read() -> None:
    """All its parts come out, the signature as bytes."""
    credential = CredentialReader().read(request(SIGNED))
    assert credential == SignedCredential(
        publishable_key=b"pk_test_docs",
        live=False,
        timestamp=b"2026-01-02T03:04:05Z",
        timestamp_s=1_767_323_045,
        nonce=b"a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        signature=b"\x0f" * 32,
    )


def test_a_browser_credential_is_read_and_cannot_be_seen() -> None:
    """The intent is named by the secret; the secret does not show."""
    headers = {b"authorization": b"Bearer pk_live_docs", b"x-client-secret": SECRET}
    credential = CredentialReader().read(request(headers))
    assert isinstance(credential, BrowserCredential)
    assert (credential.intent, credential.live) == ("pi_" + "0" * 22, True)
    assert "secret" not in repr(credential)


@pytest.mark.parametrize(
    ("authorization", "read"),
    [
        (b"bearer pk_test_docs", True),
        (b"BEARER pk_test_docs", True),
        (b"pk_test_docs", False),
        (b"Bearer  pk_test_docs", False),
        (b"Bearer\tpk_test_docs", False),
        (b"Basics pk_test_docs", False),
        (b"Bearer sk_test_docs", False),
    ],
)
def test_the_scheme_may_be_written_in_any_case(authorization: bytes, *, read: bool) -> None:
    """As RFC 9110 has it; nothing else about the header is loose."""
    headers = SIGNED | {b"authorization": authorization}
    if read:
        CredentialReader().read(request(headers))
        return
    with pytest.raises(AuthenticationError) as caught:
        CredentialReader().read(request(headers))
    form = "Bearer and a publishable key pk_test_… or pk_live_…"
    assert caught.value.detail == f"Authorization must be {form}"


def test_the_remembered_timestamp_is_not_taken_for_another() -> None:
    """A reader that has seen one timestamp still reads the next, and a missing one."""
    reader = CredentialReader()
    reader.read(request(SIGNED))
    later = SIGNED | {b"x-request-timestamp": b"2026-01-02T03:04:06Z"}
    credential = reader.read(request(later))
    assert isinstance(credential, SignedCredential)
    assert credential.timestamp_s == 1_767_323_046
    with pytest.raises(AuthenticationError):
        CredentialReader().read(request(SIGNED | {b"x-request-timestamp": b""}))


@pytest.mark.parametrize(
    "timestamp",
    [
        b"",
        b"2026-01-02T03:04:05",
        b"2026-01-02T03:04:05z",
        b"2026-01-02T03:04:05.0Z",
        b"2026-01-02T03:04:05+00:00",
        b"20260102T030405Z",
        b"2026-W01-5T03:04:05Z",
        b"2026-01-02T24:04:05Z",
        b"2026-01-02T23:59:60Z",
        b"0000-01-02T03:04:05Z",
        b"2026-01-02T03:04:05Z\n",
        "\uff12\uff10\uff12\uff16-01-02T03:04:05Z".encode(),
    ],
)
def test_other_timestamps_are_refused(timestamp: bytes) -> None:
    """One form of writing an instant, and only instants that exist."""
    with pytest.raises(AuthenticationError):
        parse_timestamp(timestamp)


@pytest.mark.parametrize(
    ("key", "read"),
    [
        (None, b""),
        (b"a", b"a"),
        (b"with space ~", b"with space ~"),
        (b"x" * 255, b"x" * 255),
        (b"x" * 256, None),
        (b"", None),
        (b"\xc3\xa9", None),
        (b"tab\tinside", None),
    ],
)
def test_idempotency_keys(key: bytes | None, read: bytes | None) -> None:
    """1 to 255 printable ASCII characters; absence and a bad form are told apart."""
    headers = {} if key is None else {b"idempotency-key": key}
    assert read_idempotency_key(request(headers)) == read
