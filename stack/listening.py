"""What `turnout listen` does: an endpoint for as long as it runs, and what is sent to it, shown.

The server itself sends to the address, as it will send to the shop's in earnest: retries, signature
and log are the real ones. The endpoint is deleted when the command ends; one that a killed command
left behind is in `turnout webhooks list`.
"""

from __future__ import annotations

import json
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from stack.credentials import ENVIRONMENT, Credentials, CredentialsError, find_credentials
from stack.endings import EXIT_FAULT
from stack.endpoints import NotRunningError
from stack.options import EXIT_CANNOT_START, Place
from stack.running import find_running
from stack.signing import sign_request
from turnout_client.sign import NONCE_BYTES

POLL_S: Final = 0.5
ANSWER_TIMEOUT_S: Final = 30.0
PAGE: Final = 100


class ListenError(Exception):
    """The API refused, or did not answer; says why."""


EXITS: Final = {
    NotRunningError: EXIT_CANNOT_START,
    CredentialsError: EXIT_CANNOT_START,
    ListenError: EXIT_FAULT,
}


@frozen
class Listener:
    """A merchant with an endpoint.

    Attributes:
        endpoint: its id.
        secret: that signs what it is sent.
    """

    merchant: Credentials
    endpoint: str
    secret: str

    def poll(self, seen: dict[str, int]) -> Iterator[dict[str, Any]]:
        """Deliveries with more tries than `seen` says, oldest first; notes them there."""
        page = ask(
            self.merchant, "GET", f"/webhook-deliveries?endpoint={self.endpoint}&limit={PAGE}"
        )
        for delivery in reversed(page["data"]):
            if delivery["tryCount"] > seen.get(delivery["id"], 0):
                seen[delivery["id"]] = delivery["tryCount"]
                yield delivery

    def close(self) -> None:
        """Delete the endpoint."""
        ask(self.merchant, "DELETE", f"/webhook-endpoints/{self.endpoint}")


def open_listener(
    place: Place, url: str, types: tuple[str, ...], credentials: Path | None
) -> Listener:
    """Create an endpoint.

    Raises:
        NotRunningError: no stack runs there, and no other was named.
        CredentialsError: there are none.
        ListenError: the API refuses the address, or does not answer.
    """
    if credentials is None and not any(name in os.environ for name in ENVIRONMENT):
        find_running(place.settings, place.data_dir)
    who = find_credentials(file=credentials, environ=os.environ, data_dir=place.data_dir)
    body = {"url": url, "eventTypes": list(types), "description": "turnout listen"}
    made = ask(who, "POST", "/webhook-endpoints", body)
    return Listener(who, made["id"], made["secret"])


def ask(
    merchant: Credentials, method: str, target: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Send one signed request; its document.

    Raises:
        ListenError: an answer of 400 or more, or none.
    """
    signed = sign_request(
        merchant,
        method=method,
        target=target,
        body=b"" if body is None else json.dumps(body).encode(),
        idempotency_key=secrets.token_hex(16) if method == "POST" else "",
        instant=datetime.now(UTC),
        random=os.urandom(NONCE_BYTES),
    )
    request = urllib.request.Request(  # noqa: S310  the API's address, of the credentials
        signed.url, data=signed.body or None, headers=dict(signed.headers), method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:  # noqa: S310
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        raise ListenError(f"{method} {target}: {error.code} {_detail(error.read())}") from None
    except (OSError, ValueError) as error:
        raise ListenError(f"{merchant.api_url}: {error}") from None


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""


def wait() -> None:
    """Pause between looks."""
    time.sleep(POLL_S)
