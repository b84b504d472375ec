"""Verifying a webhook: that it is ours, about this body, and not an old one sent again.

    event = verify_webhook(secret, request.headers, request.body)
    if event["type"] == "payment_intent.succeeded": ...

Signatures are those of Standard Webhooks, version 1. A delivery may come twice, with the same
`event["id"]`: remember the ids that were handled.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any

from turnout_client.errors import TurnoutError

SECRET_PREFIX = "whsec_"  # noqa: S105  what every secret begins with
TOLERANCE_S = 300


class WebhookError(TurnoutError):
    """A request that is no webhook of ours, or an old one; says why. Answer it 400."""


def verify_webhook(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_s: float = TOLERANCE_S,
    now_s: float | None = None,
) -> dict[str, Any]:
    """The event that a request brings.

    Args:
        secret: the endpoint's, `whsec_…`. While it is being rolled the old one verifies as well.
        headers: of the request, in any case.
        body: exactly as received: what a framework has parsed and written again does not verify.
        tolerance_s: how far from now the request may have been signed.
        now_s: Unix seconds; the clock's unless given.

    Raises:
        WebhookError: a header is missing, the time is off, no signature is right, or the body is
            not a JSON object.
        ValueError: the secret is not of the form `whsec_…`.
    """
    key = _key(secret)
    found = {name.lower(): value for name, value in headers.items()}
    try:
        id_, timestamp = found["webhook-id"], found["webhook-timestamp"]
        signatures = found["webhook-signature"].split()
    except KeyError as error:
        raise WebhookError(f"the header {error.args[0]} is missing") from None
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise WebhookError("webhook-timestamp is no time")
    if abs((time.time() if now_s is None else now_s) - int(timestamp)) > tolerance_s:
        raise WebhookError(f"webhook-timestamp is more than {tolerance_s:.0f} s off")
    signed = f"{id_}.{timestamp}.".encode() + body
    expected = b"v1," + b64encode(hmac.digest(key, signed, hashlib.sha256))
    if not any(hmac.compare_digest(expected, each.encode()) for each in signatures):
        raise WebhookError("no signature is right for this secret")
    try:
        event = json.loads(body)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise WebhookError("the body is not a JSON object")
    return event


def _key(secret: str) -> bytes:
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (Base64Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not key:
        raise ValueError("secret: must be whsec_ and base64")
    return key
