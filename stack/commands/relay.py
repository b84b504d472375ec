"""`turnout relay`: how the event stream is fed, agreeing to a repair, comparing two streams."""

from __future__ import annotations

import json
import sys
from functools import partial

import click

from stack.commands.operating import json_option, note_option, operator_option
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options, shard_option


@click.group()
def relay() -> None:
    """See how the event stream is fed; agree to a repair; compare two streams."""


second_option = click.option("--second", is_flag=True, help="The second relay, if there is one.")


@relay.command("status")
@second_option
@json_option
@every_shard_option
@settings_options
def status(place: Place, *, second: bool, as_json: bool) -> None:
    """Show how the relay stands, its slot, and how much WAL that pins."""
    from stack import relay as relays  # noqa: PLC0415  when called: --help must not wait
    from stack.acting import act  # noqa: PLC0415

    document = act("relay status", place, partial(relays.status, second=second))
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_relay  # noqa: PLC0415

    show_relay.status(document)


@relay.command("repair")
@operator_option
@note_option("Why this is the right database, for the record.", required=True)
@second_option
@json_option
@shard_option
@settings_options
def repair(place: Place, *, operator: str | None, note: str, second: bool, as_json: bool) -> None:
    """Agree to the repair that the relay waits for, and to streaming from this database.

    Good for what it has found now and for nothing else. What the tables hold and the stream lacks
    is appended under the flag `repair`; nothing that the stream holds is changed or taken away.
    """
    from stack import relay as relays  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    operator = operator or login_name()
    action = partial(relays.repair, operator=operator, note=note, second=second)
    document = act("relay repair", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"the repair is agreed to, by {document['operator']}; see turnout relay status")


@relay.command("compare")
@json_option
@shard_option
@settings_options
def compare(place: Place, *, as_json: bool) -> None:
    """Hold the streams of both relays to each other, from their beginnings.

    Reads files alone, whether a stack runs or not. Exit status 1 if they differ.
    """
    from stack import second_relay  # noqa: PLC0415
    from stack.commands.progress import progress  # noqa: PLC0415
    from stack.endings import EXIT_FAULT, told_in_one_line  # noqa: PLC0415

    with (
        told_in_one_line("relay compare", second_relay.EXITS),
        progress("comparing") as told,
    ):
        document = second_relay.compare(place, told)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        from stack import show_relay  # noqa: PLC0415

        show_relay.comparison(document)
    if not document["ok"]:
        sys.exit(EXIT_FAULT)
