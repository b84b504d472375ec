"""`turnout relay`: how the event stream is fed, and agreeing to a repair."""

from __future__ import annotations

import json
from functools import partial

import click

from stack.commands.operating import json_option, note_option, operator_option
from stack.options import Place, settings_options, shard_option


@click.group()
def relay() -> None:
    """See how the event stream is fed; agree to a repair."""


@relay.command("status")
@json_option
@shard_option
@settings_options
def status(place: Place, *, as_json: bool) -> None:
    """Show how the relay stands, its slot, and how much WAL that pins."""
    from stack import relay as relays  # noqa: PLC0415  when called: --help must not wait
    from stack.acting import act  # noqa: PLC0415

    document = act("relay status", place, relays.status)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_relay  # noqa: PLC0415

    show_relay.status(document)


@relay.command("repair")
@operator_option
@note_option("Why this is the right database, for the record.", required=True)
@json_option
@shard_option
@settings_options
def repair(place: Place, *, operator: str | None, note: str, as_json: bool) -> None:
    """Agree to the repair that the relay waits for, and to streaming from this database.

    Good for what it has found now and for nothing else. What the tables hold and the stream lacks
    is appended under the flag `repair`; nothing that the stream holds is changed or taken away.
    """
    from stack import relay as relays  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    action = partial(relays.repair, operator=operator or login_name(), note=note)
    document = act("relay repair", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"the repair is agreed to, by {document['operator']}; see turnout relay status")
