"""`turnout sign`: sign one API request, as headers or as a curl command."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from stack.commands.endings import told_in_one_line
from stack.commands.parameters import Body
from stack.credentials import find_credentials
from stack.options import Place, settings_options
from stack.signing import METHODS, SignedRequest, sign_request
from turnout_client.sign import NONCE_BYTES


@click.command()
@click.argument("method", type=click.Choice(METHODS, case_sensitive=False))
@click.argument("target")
@click.option("-d", "--data", "body", type=Body(), default=b"", help="The body, JSON as sent.")
@click.option(
    "--idempotency-key", metavar="KEY", help="Default: a random one on POST, none otherwise."
)
@click.option("--curl", "as_curl", is_flag=True, help="Print a command to paste into a shell.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Credentials file; default: MERCHANT_… variables, else the demo shop's.",
)
@settings_options
def sign(
    place: Place,
    *,
    method: str,
    target: str,
    body: bytes,
    idempotency_key: str | None,
    as_curl: bool,
    as_json: bool,
    credentials: Path | None,
) -> None:
    """Sign one API request, as headers or as a curl command.

    TARGET is path and query exactly as they will be sent. The signature is good for one request
    within 300 seconds. Needs no running stack.
    """
    method = method.upper()
    if idempotency_key is None:
        idempotency_key = os.urandom(16).hex() if method == "POST" else ""
    with told_in_one_line("sign"):
        request = sign_request(
            find_credentials(file=credentials, environ=os.environ, data_dir=place.data_dir),
            method=method,
            target=target,
            body=body,
            idempotency_key=idempotency_key,
            instant=datetime.now(UTC),
            random=os.urandom(NONCE_BYTES),
        )
        if as_json:
            text = json.dumps(sign_document(request), indent=2)
        else:
            text = request.curl() if as_curl else request.header_lines()
    click.echo(text)


def sign_document(request: SignedRequest) -> dict[str, object]:
    """What `turnout sign --json` prints; the body as text, None where it is not UTF-8."""
    try:
        body: str | None = request.body.decode()
    except UnicodeDecodeError:
        body = None
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "body": body,
    }
