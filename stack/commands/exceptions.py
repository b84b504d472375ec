"""`turnout exceptions`: records that contradict each other, and closing what was looked into."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

import click

from stack.commands.operating import json_option, limit_option, note_option, operator_option
from stack.commands.parameters import Text
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options, shard_option

NUMBER_MAX: Final = 2**63 - 1
KIND: Final = r"[a-z][a-z0-9_]{0,63}"

number_argument = click.argument("number", type=click.IntRange(1, NUMBER_MAX))


@click.group()
def exceptions() -> None:
    """List, show, close what a person has to look into."""


@exceptions.command("list")
@click.option("--all", "closed_too", is_flag=True, help="Closed ones as well.")
@click.option("--kind", type=Text(64, KIND, "a kind such as late_approval"), help="Only of a kind.")
@click.option(
    "--above", type=click.IntRange(0, NUMBER_MAX), default=0, help="Only numbers above this one."
)
@limit_option
@json_option
@every_shard_option
@settings_options
def list_(
    place: Place, *, closed_too: bool, kind: str | None, above: int, limit: int, as_json: bool
) -> None:
    """List what is open, oldest first."""
    from stack import exceptions as records  # noqa: PLC0415  when called: --help must not wait
    from stack.acting import act  # noqa: PLC0415

    action = partial(
        records.list_open, closed_too=closed_too, kind=kind or "", above=above, limit=limit
    )
    document = act("exceptions list", place, action)
    if kind and kind not in records.KINDS and not document["exceptions"]:
        known = ", ".join(records.KINDS)
        raise click.BadParameter(f"there are none of it; known are {known}", param_hint="--kind")
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_exceptions  # noqa: PLC0415

    words = ["turnout exceptions list", *(["--all"] if closed_too else [])]
    words += [f"--kind {kind}"] if kind else []
    show_exceptions.listed(document, again=" ".join(words))


@exceptions.command("show")
@number_argument
@json_option
@shard_option
@settings_options
def show(place: Place, *, number: int, as_json: bool) -> None:
    """Show one exception: what happened, the numbers to ask the network by, what to do."""
    from stack import exceptions as records  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415

    document = act("exceptions show", place, partial(records.show, number=number))
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_exceptions  # noqa: PLC0415

    show_exceptions.shown(document)


@exceptions.command("close")
@number_argument
@operator_option
@note_option("What came of it, for the record.", required=True)
@json_option
@shard_option
@settings_options
def close(place: Place, *, number: int, operator: str | None, note: str, as_json: bool) -> None:
    """Close an exception that was looked into. Moves no money, and cannot be taken back."""
    from stack import exceptions as records  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    action = partial(records.close, number=number, operator=operator or login_name(), note=note)
    document = act("exceptions close", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"exception {number} is closed, by {document['operator']}")
