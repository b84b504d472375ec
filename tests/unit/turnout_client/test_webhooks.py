"""The client takes what the server signs, and nothing else."""

from __future__ import annotations

import os

import pytest

from api.webhooks.signing import secret_text, signature_headers
from turnout_client import WebhookError, verify_webhook

KEY, OTHER = os.urandom(32), os.urandom(32)
BODY = b'{"id":"evt_1","type":"payment_intent.succeeded"}'
AT_S = 1_767_323_045


def headers(*keys: bytes, body: bytes = BODY) -> dict[str, str]:
    """What the server sends."""
    return dict(signature_headers(keys, event="evt_1", at_s=AT_S, body=body))


@pytest.mark.parametrize("keys", [(KEY,), (OTHER, KEY), (KEY, OTHER)])
def test_a_webhook_is_its_event(keys: tuple[bytes, ...]) -> None:
    """By one secret or by two, header names in any case."""
    found = {name.title(): value for name, value in headers(*keys).items()}
    event = verify_webhook(secret_text(KEY), found, BODY, now_s=AT_S + 299)
    assert event == {"id": "evt_1", "type": "payment_intent.succeeded"}


@pytest.mark.parametrize(
    ("changes", "body", "now_s", "reason"),
    [
        ({"webhook-id": "evt_2"}, BODY, AT_S, "no signature"),
        ({"webhook-timestamp": str(AT_S + 1)}, BODY, AT_S, "no signature"),
        ({"webhook-timestamp": "soon"}, BODY, AT_S, "no time"),
        ({"webhook-signature": ""}, BODY, AT_S, "no signature"),
        ({"webhook-signature": "v2,AAAA v1, é"}, BODY, AT_S, "no signature"),
        ({}, BODY + b" ", AT_S, "no signature"),
        ({}, BODY, AT_S + 301, "off"),
        ({}, BODY, AT_S - 301, "off"),
    ],
)
def test_what_was_changed_or_is_old_is_refused(
    changes: dict[str, str], body: bytes, now_s: float, reason: str
) -> None:
    """Each member of what is signed, and the time."""
    with pytest.raises(WebhookError, match=reason):
        verify_webhook(secret_text(KEY), headers(KEY) | changes, body, now_s=now_s)


def test_another_secret_and_missing_headers_are_refused() -> None:
    """Nothing is taken on trust."""
    with pytest.raises(WebhookError, match="no signature"):
        verify_webhook(secret_text(OTHER), headers(KEY), BODY, now_s=AT_S)
    for name in headers(KEY):
        less = {key: value for key, value in headers(KEY).items() if key != name}
        with pytest.raises(WebhookError, match=f"{name} is missing"):
            verify_webhook(secret_text(KEY), less, BODY, now_s=AT_S)
    with pytest.raises(WebhookError, match="JSON object"):
        verify_webhook(secret_text(KEY), headers(KEY, body=b"[]"), b"[]", now_s=AT_S)


@pytest.mark.parametrize("secret", ["", "whsec_", "sk_test_docs", "whsec_é"])
def test_what_is_no_secret_is_told_at_once(secret: str) -> None:
    """That is a fault of the program, not of a request."""
    with pytest.raises(ValueError, match="whsec_"):
        verify_webhook(secret, headers(KEY), BODY)
