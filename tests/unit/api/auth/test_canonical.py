"""The signed string and its signature, against the published vectors."""

from __future__ import annotations

import copy
import hmac
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from api.auth.canonical import CanonicalStringError, SigningKey, canonical_string
from api.http.parser import Request

DOCUMENT = Path(__file__).parents[4] / "docs" / "vectors" / "signing.json"
VECTORS = json.loads(DOCUMENT.read_text(encoding="utf-8"))["vectors"]


def hash_of(body: bytes) -> bytes:
    """The hash of a POST's body."""
    return Request(b"POST", b"/", {}, body, keep_alive=True).body_hash()


PARTS = {
    "publishable_key": b"pk_test_docs",
    "timestamp": b"2026-01-02T03:04:05Z",
    "nonce": b"a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "method": b"POST",
    "host": b"127.0.0.1:8080",
    "target": b"/payment-intents",
    "content_type": b"application/json",
    "idempotency_key": b"order-1234",
    "body_hash": hash_of(b'{"amountInCents":2499,"currency":"usd","description":"Order #1234"}'),
}


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_published_vectors_verify(vector: dict[str, Any]) -> None:
    """What the documents promise is what the server computes."""
    canonical = canonical_string(
        publishable_key=vector["publishableKey"].encode(),
        timestamp=vector["timestamp"].encode(),
        nonce=vector["nonce"].encode(),
        method=vector["method"].encode(),
        host=vector["host"].encode(),
        target=vector["target"].encode(),
        content_type=vector["contentType"].encode(),
        idempotency_key=vector["idempotencyKey"].encode(),
        body_hash=hash_of(vector["body"].encode()),
    )
    assert canonical.decode() == vector["canonicalString"]
    signature = SigningKey(vector["secretKey"].encode()).sign(canonical)
    assert "sha256=" + signature.hex() == vector["signature"]


def test_the_vector_of_the_contract() -> None:
    """The first vector of the contract, literally."""
    signature = SigningKey(b"sk_test_docs").sign(canonical_string(**PARTS))
    assert signature.hex() == "7932e89284d35c5e947592d26ca20d6d29c76f12c6fed4dd621fe343427ccbfe"


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_in_the_string(part: str) -> None:
    """No part can change without the string changing."""
    changed = PARTS | {part: PARTS[part] + b"0"}
    assert canonical_string(**changed) != canonical_string(**PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_line_feed_in_a_part_is_refused(part: str) -> None:
    """A part cannot pass for two lines."""
    with pytest.raises(CanonicalStringError):
        canonical_string(**PARTS | {part: b"a\nb"})


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_a_key_of_any_length_signs_as_hmac_does(size: int) -> None:
    """Prepared or not, and however often it was used: the signature is HMAC-SHA256's."""
    secret = bytes(range(size))
    key = SigningKey(secret)
    signatures = [key.sign(message) for message in (b"", b"a" * 500, b"")]
    assert signatures == [hmac.digest(secret, text, "sha256") for text in (b"", b"a" * 500, b"")]


def test_a_signing_key_is_secret() -> None:
    """It shows its mask and is not copied, pickled or written out."""
    key = SigningKey(b"sk_test_docs")
    assert "sk_test" not in f"{key!r} {key}"
    for leak in (pickle.dumps, copy.copy, json.dumps):
        with pytest.raises(TypeError):
            leak(key)
