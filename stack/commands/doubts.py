"""`turnout doubts`: messages whose outcome is unknown, while the switch finds it out."""

from __future__ import annotations

import json
from functools import partial

import click

from stack.commands.operating import json_option, limit_option
from stack.commands.parameters import PublicId
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options, shard_option


@click.group()
def doubts() -> None:
    """List, show messages whose outcome is unknown. They need nobody: see saf for what does."""


@doubts.command("list")
@limit_option
@json_option
@every_shard_option
@settings_options
def list_(place: Place, *, limit: int, as_json: bool) -> None:
    """List what is in doubt, oldest first."""
    from stack import doubts as queue  # noqa: PLC0415  when called: --help must not wait for it
    from stack.acting import act  # noqa: PLC0415

    document = act("doubts list", place, partial(queue.list_open, limit=limit))
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_doubts  # noqa: PLC0415

    show_doubts.listed(document)


@doubts.command("show")
@click.argument("attempt", type=PublicId("att"))
@json_option
@shard_option
@settings_options
def show(place: Place, *, attempt: bytes, as_json: bool) -> None:
    """Show one message in doubt: its numbers, and what will be done about it."""
    from stack import doubts as queue  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415

    document = act("doubts show", place, partial(queue.show, attempt_id=attempt))
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_doubts  # noqa: PLC0415

    show_doubts.shown(document)
