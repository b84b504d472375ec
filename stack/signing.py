"""One signed request, made ready to be sent by something else: as headers or as a curl command.

`sign_request` is pure: the instant and the nonce are arguments. The string that is signed is the
client's (`turnout_client.sign`), so what is printed is what a merchant's server would send.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from stack.credentials import Credentials, CredentialsError, find_credentials
from stack.endings import EXIT_USAGE
from stack.options import EXIT_CANNOT_START
from turnout_client.sign import NONCE_BYTES, canonical_string, nonce_of, signature, timestamp_of

_JSON: Final = "application/json"


class SigningError(ValueError):
    """What was asked for cannot be signed; says which part and why."""


EXITS: Final = {CredentialsError: EXIT_CANNOT_START, SigningError: EXIT_USAGE}


@frozen(kw_only=True)
class SignedRequest:
    """A request as it must be sent, byte for byte.

    Attributes:
        url: absolute.
        headers: in order, `Host` not among them: it follows from the URL.
        body: raw; empty means no body.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def header_lines(self) -> str:
        """The headers as they stand in the request."""
        return "\n".join(f"{name}: {value}" for name, value in self.headers.items())

    def curl(self) -> str:
        """A command for a POSIX shell that sends exactly this request.

        Raises:
            SigningError: the body holds bytes that cannot stand in a shell's argument.
        """
        command = ["curl", "--silent", "--show-error", "--write-out", r"\n"]
        if any(character in "[]{}" for character in self.url):
            command.append("--globoff")
        if "/." in self.url:
            command.append("--path-as-is")
        command += ["--head"] if self.method == "HEAD" else ["--request", self.method]
        lines = [[*command, self.url]]
        lines += [["--header", f"{name}: {value}"] for name, value in self.headers.items()]
        if self.body:
            lines.append(["--data-raw", _shell_text(self.body)])
        return " \\\n  ".join(shlex.join(line) for line in lines)

    def document(self) -> dict[str, Any]:
        """What `turnout sign --json` prints; the body as text, None where it is not UTF-8."""
        try:
            body: str | None = self.body.decode()
        except UnicodeDecodeError:
            body = None
        return {
            "method": self.method,
            "url": self.url,
            "headers": dict(self.headers),
            "body": body,
        }


def sign_now(
    *,
    file: Path | None,
    data_dir: Path,
    method: str,
    target: str,
    body: bytes,
    idempotency_key: str,
) -> SignedRequest:
    """Sign a request now, with the credentials that `find_credentials` finds.

    Raises:
        CredentialsError: there are none.
        SigningError: a part cannot stand in a request.
    """
    return sign_request(
        find_credentials(file=file, environ=os.environ, data_dir=data_dir),
        method=method,
        target=target,
        body=body,
        idempotency_key=idempotency_key,
        instant=datetime.now(UTC),
        random=os.urandom(NONCE_BYTES),
    )


def sign_request(
    credentials: Credentials,
    *,
    method: str,
    target: str,
    body: bytes,
    idempotency_key: str,
    instant: datetime,
    random: bytes,
) -> SignedRequest:
    """Sign a request as contract 2 says.

    Args:
        credentials: who signs, and where the API is.
        method: of HTTP, upper case.
        target: path and query, exactly as it will be sent.
        body: raw bytes; their content type is JSON.
        idempotency_key: empty for none.
        instant: now, aware.
        random: `turnout_client.sign.NONCE_BYTES` random bytes.

    Raises:
        SigningError: a part cannot stand in a request.
    """
    if not _is_target(target):
        raise SigningError(
            "the target must begin with / and hold no space, # or non-ASCII: use %20"
        )
    if not all(" " <= character <= "~" for character in idempotency_key):
        raise SigningError("the idempotency key must be printable ASCII")
    host = urlsplit(credentials.api_url).netloc
    if not host:
        raise SigningError("apiUrl in the credentials must be http:// or https:// and a host")
    timestamp, nonce = timestamp_of(instant), nonce_of(random)
    content_type = _JSON if body else ""
    canonical = canonical_string(
        publishable_key=credentials.publishable_key,
        timestamp=timestamp,
        nonce=nonce,
        method=method,
        host=host,
        target=target,
        content_type=content_type,
        idempotency_key=idempotency_key,
        body=body,
    )
    headers = {
        "Authorization": f"Bearer {credentials.publishable_key}",
        "X-Request-Timestamp": timestamp,
        "X-Request-Nonce": nonce,
        "X-Signature": signature(credentials.secret_key, canonical),
        "Content-Type": content_type,
        "Idempotency-Key": idempotency_key,
    }
    return SignedRequest(
        method=method,
        url=credentials.api_url + target,
        headers={name: value for name, value in headers.items() if value},
        body=body,
    )


def _is_target(text: str) -> bool:
    """Whether it can stand in a request line as it is; a fragment never gets there (RFC 9112)."""
    return text.startswith("/") and all(
        "!" <= character <= "~" and character != "#" for character in text
    )


def _shell_text(body: bytes) -> str:
    """The body as one argument of a command; arguments are text without zero bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SigningError("this body cannot stand in a shell command; print the headers instead")
    return text
