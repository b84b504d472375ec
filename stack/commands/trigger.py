"""`turnout trigger`: make the test payment that comes to a given event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from stack.options import Place, settings_options

PREFIX: Final = "payment_intent."
TYPES: Final = (
    "created",
    "processing",
    "authorized",
    "succeeded",
    "payment_failed",
    "pending_verification",
    "canceled",
    "partially_refunded",
    "refunded",
)


class EventType(click.ParamType[str]):
    """A type such as payment_intent.succeeded; `payment_intent.` may be left out."""

    name = "type"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that there is such a type."""
        name = value.removeprefix(PREFIX)
        if name not in TYPES:
            self.fail(f"must be one of {', '.join(PREFIX + known for known in TYPES)}", param, ctx)
        return name


@click.command()
@click.argument("event_type", metavar="TYPE", type=EventType())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Credentials file; default: MERCHANT_… variables, else the demo shop's.",
)
@settings_options
def trigger(place: Place, *, event_type: str, as_json: bool, credentials: Path | None) -> None:
    """Make the test payment that comes to an event of TYPE."""
    from stack import triggering  # noqa: PLC0415  --help must not wait for it

    document = triggering.trigger(place, event_type, credentials)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"{document['type']}  {document['intent']}  {document['status']}")
