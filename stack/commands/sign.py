"""`turnout sign`: sign one API request, as headers or as a curl command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import click

from stack.commands.parameters import Body
from stack.endings import told_in_one_line
from stack.options import Place, settings_options

METHODS: Final = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE")


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
    from stack.signing import EXITS, sign_now  # noqa: PLC0415  --help must not wait for it

    method = method.upper()
    if idempotency_key is None:
        idempotency_key = os.urandom(16).hex() if method == "POST" else ""
    with told_in_one_line("sign", EXITS):
        request = sign_now(
            file=credentials,
            data_dir=place.data_dir,
            method=method,
            target=target,
            body=body,
            idempotency_key=idempotency_key,
        )
        if as_json:
            text = json.dumps(request.document(), indent=2)
        else:
            text = request.curl() if as_curl else request.header_lines()
    click.echo(text)
