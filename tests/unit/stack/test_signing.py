"""Signed requests for other programs to send."""

from __future__ import annotations

import json
import shlex
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import Any

import pytest

from stack.credentials import Credentials
from stack.signing import SignedRequest, SigningError, sign_request
from turnout_client.sign import canonical_string, signature

DOCS = Credentials(
    merchant="mer_docs",
    publishable_key="pk_test_docs",
    secret_key="sk_test_docs",
    api_url="http://127.0.0.1:8080",
)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = b'{"amountInCents":2499,"currency":"usd","description":"Order #1234"}'


def _sign(**changes: Any) -> SignedRequest:
    arguments: dict[str, Any] = {
        "method": "POST",
        "target": "/payment-intents",
        "body": BODY,
        "idempotency_key": "order-1234",
        "instant": AT,
        "random": bytes(18),
    }
    return sign_request(DOCS, **arguments | changes)


def _expected(request: SignedRequest, host: str = "127.0.0.1:8080") -> str:
    """The signature over what a server would see of a request."""
    return signature(
        DOCS.secret_key,
        canonical_string(
            publishable_key=DOCS.publishable_key,
            timestamp=request.headers["X-Request-Timestamp"],
            nonce=request.headers["X-Request-Nonce"],
            method=request.method,
            host=host,
            target=request.url.removeprefix(DOCS.api_url),
            content_type=request.headers.get("Content-Type", ""),
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            body=request.body,
        ),
    )


def test_the_published_vectors_are_signed_as_they_say() -> None:
    """The two examples of the HTTP guide, to the last digit."""
    posted = _sign(random=urlsafe_b64decode("a1b2c3d4-e5f6-7890-abcd-ef1234567890"))
    assert posted.headers["X-Signature"] == (
        "sha256=7932e89284d35c5e947592d26ca20d6d29c76f12c6fed4dd621fe343427ccbfe"
    )
    read = _sign(
        method="GET",
        target="/payment-intents?limit=2&status=succeeded",
        body=b"",
        idempotency_key="",
        random=urlsafe_b64decode("a1b2c3d4-e5f6-7890-abcd-ef1234567891"),
    )
    assert read.headers["X-Signature"] == (
        "sha256=bfc001550c9ae88c86ae85287a6dac22b115c700a7fb84738e8e0c411a2af525"
    )


def test_a_request_without_a_body_has_no_content_type_and_no_key() -> None:
    """Headers that would be empty are not sent, and are signed as empty."""
    request = _sign(method="GET", target="/payment-intents?limit=2", body=b"", idempotency_key="")
    assert set(request.headers) == {
        "Authorization",
        "X-Request-Timestamp",
        "X-Request-Nonce",
        "X-Signature",
    }
    assert request.headers["X-Signature"] == _expected(request)


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        b'{"description":"it\'s \\"quoted\\" $HOME `ls` \\\\"}',
        '{"description":"Zoë €"}'.encode(),
        b'{\n  "a": 1\n}\n',
        b"@/etc/passwd",
    ],
)
def test_a_curl_command_carries_the_body_byte_for_byte(body: bytes) -> None:
    """A shell hands curl exactly the bytes that were signed, whatever they are."""
    request = _sign(body=body)
    words = shlex.split(request.curl())
    assert words[words.index("--data-raw") + 1].encode() == body
    headers = [words[at + 1] for at, word in enumerate(words) if word == "--header"]
    assert headers == [f"{name}: {value}" for name, value in request.headers.items()]
    assert request.url in words


def test_curl_is_kept_from_changing_the_target() -> None:
    """Brackets are no patterns and dots no path segments to remove."""
    words = shlex.split(_sign(target="/a/../b?x[]={1}").curl())
    assert {"--globoff", "--path-as-is", "http://127.0.0.1:8080/a/../b?x[]={1}"} <= set(words)


def test_head_is_asked_for_in_curls_own_way() -> None:
    """`--request HEAD` would wait for a body that never comes."""
    words = shlex.split(_sign(method="HEAD", body=b"", idempotency_key="").curl())
    assert "--head" in words
    assert "--request" not in words


@pytest.mark.parametrize("body", [b"\xff", b"a\0b"])
def test_a_body_that_no_shell_can_carry_is_refused_as_curl_only(body: bytes) -> None:
    """Bytes that are no text cannot be an argument; the headers are still good."""
    request = _sign(body=body)
    assert "X-Signature" in request.header_lines()
    with pytest.raises(SigningError, match="shell"):
        request.curl()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"target": "payment-intents"}, "target"),
        ({"target": "/a b"}, "target"),
        ({"target": "/a#b"}, "target"),
        ({"target": "/ü"}, "target"),
        ({"target": "/a\nb"}, "target"),
        ({"idempotency_key": "a\nb"}, "idempotency key"),
        ({"idempotency_key": "ü"}, "idempotency key"),
    ],
)
def test_what_cannot_stand_in_a_request_is_not_signed(changes: dict[str, str], reason: str) -> None:
    """Every part is checked before it is signed, and the error names it."""
    with pytest.raises(SigningError, match=reason):
        _sign(**changes)


def test_the_document_is_json_of_what_is_sent() -> None:
    """Method, URL, headers and body; the secret key is nowhere in it."""
    document = _sign().document()
    assert json.loads(json.dumps(document)) == document
    assert document["body"] == BODY.decode()
    assert DOCS.secret_key not in json.dumps(document)
    assert _sign(body=b"\xff").document()["body"] is None
