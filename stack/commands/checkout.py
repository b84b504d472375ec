"""`turnout checkout`: the hosted card fields as browsers get them."""

from __future__ import annotations

import json
import sys
from functools import partial

import click

from stack.commands.operating import json_option
from stack.endings import EXIT_FAULT, EXIT_USAGE


@click.group()
def checkout() -> None:
    """See that browsers get the card fields as they were made."""


@checkout.command("verify")
@click.argument("url")
@click.option("--key", default="", metavar="PK", help="The publishable key of a merchant.")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="What may frame them, and nothing else. May be repeated.",
)
@json_option
def verify(*, url: str, key: str, origins: tuple[str, ...], as_json: bool) -> None:
    """Fetch the card fields from URL, and compare scripts, document and headers with ours.

    Needs no stack. Run it at intervals, from a machine that the API is not on.
    """
    import trio  # noqa: PLC0415  when called: --help must not wait for it

    from stack.checkout_watch import watch  # noqa: PLC0415

    try:
        document = trio.run(partial(watch, url, key=key, origins=origins or None))
    except ValueError as error:
        click.echo(f"turnout checkout verify: {error}", err=True)
        sys.exit(EXIT_USAGE)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        for finding in document["findings"]:
            click.echo(f"{finding['where']}: {finding['detail']}")
        framed = ", ".join(document["frame_ancestors"]) or "nobody"
        click.echo(f"{'ok' if document['ok'] else 'NOT ok'}; may be framed by: {framed}")
    sys.exit(0 if document["ok"] else EXIT_FAULT)
