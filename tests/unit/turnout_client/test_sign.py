"""Signatures as the server checks them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from turnout_client.sign import SignError, canonical_string, nonce_of, signature, timestamp_of

VECTORS = json.loads(
    (Path(__file__).parents[3] / "docs" / "vectors" / "signing.json").read_text("utf-8")
)["vectors"]
PARTS: dict[str, Any] = {
    "publishable_key": "pk_test_docs",
    "timestamp": "2026-01-02T03:04:05Z",
    "nonce": "a1b2c3d4-e5f6-7890",
    "method": "POST",
    "host": "127.0.0.1:8080",
    "target": "/payment-intents",
    "content_type": "application/json",
    "idempotency_key": "order-1234",
    "body": b"{}",
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_published_vectors(vector: dict[str, str]) -> None:
    """Ten lines and signature of each published request."""
    canonical = canonical_string(
        publishable_key=vector["publishableKey"],
        timestamp=vector["timestamp"],
        nonce=vector["nonce"],
        method=vector["method"],
        host=vector["host"],
        target=vector["target"],
        content_type=vector["contentType"],
        idempotency_key=vector["idempotencyKey"],
        body=vector["body"].encode(),
    )
    assert canonical == vector["canonicalString"]
    assert signature(vector["secretKey"], canonical) == vector["signature"]


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_signed(part: str) -> None:
    """Changing any of them changes the signature."""
    changed = PARTS[part] + (b"x" if part == "body" else "x")
    signatures = {
        signature("sk_test_docs", canonical_string(**parts))
        for parts in (PARTS, {**PARTS, part: changed})
    }
    assert len(signatures) == 2


@pytest.mark.parametrize("part", [name for name in PARTS if name != "body"])
def test_a_line_feed_is_refused(part: str) -> None:
    """A part must not pass for two lines; the error names it."""
    with pytest.raises(SignError, match=f"{part}: holds a line feed"):
        canonical_string(**{**PARTS, part: "a\nb"})


def test_a_key_beyond_ascii_is_refused() -> None:
    """The whole secret key is the key, as ASCII."""
    with pytest.raises(SignError, match="not ASCII"):
        signature("sk_test_é", "lines")


def test_instants_are_written_in_utc() -> None:
    """Whole seconds, cut and not rounded."""
    instant = datetime(2026, 1, 2, 4, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert timestamp_of(instant) == "2026-01-02T03:04:05Z"
    assert timestamp_of(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05Z"


def test_nonces_are_what_the_server_takes() -> None:
    """Sixteen to sixty-four of its alphabet, whatever the random bytes."""
    assert nonce_of(b"\xff\xfe\xfd" * 6) == "__79" * 6
