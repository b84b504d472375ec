"""Signatures are those of Standard Webhooks, by its own verifier."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from api.webhooks.signing import SECRET_BYTES, secret_text, signature_headers

BODY = b'{"test": 2432232314}'


def test_the_vector_of_the_standard() -> None:
    """Secret, id, time and body that every library is tested with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature_headers(
        [key], event="msg_p5jXN8AQM9LWM0D4loKWxJek", at_s=1_614_265_330, body=BODY
    )
    assert dict(headers)["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_secret_verifies_while_one_is_rolled() -> None:
    """The new one and the old one, each by itself; a third does not."""
    keys = [os.urandom(SECRET_BYTES) for _ in range(3)]
    now = int(datetime.now(UTC).timestamp())
    headers = dict(signature_headers(keys[:2], event="evt_1", at_s=now, body=BODY))
    for key in keys[:2]:
        assert Webhook(secret_text(key)).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(keys[2])).verify(BODY, headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_what_was_changed_does_not_verify(name: str) -> None:
    """Id, time and body are all signed."""
    key = os.urandom(SECRET_BYTES)
    now = int(datetime.now(UTC).timestamp())
    headers = dict(signature_headers([key], event="evt_1", at_s=now, body=BODY))
    changed = headers | {name: "evt_2" if name == "webhook-id" else str(now + 1)}
    for of, body in ((changed, BODY), (headers, BODY + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret_text(key)).verify(body, of)
