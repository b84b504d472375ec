"""`turnout shards`: which shard creates the payments of which merchants, and moving them."""

from __future__ import annotations

import json
import sys
from functools import partial

import click

from stack.commands.operating import json_option, note_option, operator_option
from stack.commands.parameters import PublicId
from stack.options import Place, settings_options


@click.group()
def shards() -> None:
    """See which shard has which merchants; move them."""


@shards.command("status")
@click.argument("merchant", type=PublicId("mer"), required=False)
@json_option
@settings_options
def status(place: Place, *, merchant: bytes | None, as_json: bool) -> None:
    """Show the buckets of each shard and what is on its way; a merchant's bucket, if one is named.

    The status is 1 where something is out of order that no move explains.
    """
    from stack import shards as acts  # noqa: PLC0415  when called: --help must not wait
    from stack.endings import EXIT_FAULT  # noqa: PLC0415

    action = partial(acts.status, merchant_id=merchant)
    document = acts.act_on_all("shards status", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        from stack import show_shards  # noqa: PLC0415

        show_shards.status(document)
    if document["faults"]:
        sys.exit(EXIT_FAULT)


@shards.command("move")
@click.argument("what", required=False)
@click.option("--to", "to_shard", type=int, help="The shard that new payments go to.")
@click.option("--resume", is_flag=True, help="Finish what was begun; nothing new.")
@operator_option
@note_option("Why, for the record.")
@json_option
@settings_options
def move(
    place: Place,
    *,
    what: str | None,
    to_shard: int | None,
    resume: bool,
    operator: str | None,
    note: str | None,
    as_json: bool,
) -> None:
    """Have new payments of a merchant's bucket, or of buckets such as 17,2048-4095, go elsewhere.

    Payments that exist stay where they are and go on as before. A move that was interrupted is
    finished by the next one, by --resume, or by the next start.
    """
    from stack import shards as acts  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    if resume == (what is not None) or (to_shard is None) != resume:
        raise click.UsageError("name a merchant or buckets and --to, or --resume alone")
    if what is None or to_shard is None:
        document = acts.act_on_all("shards move", place, acts.resume)
    else:
        action = partial(
            acts.move,
            buckets=acts.buckets_meant(what),
            to_shard=to_shard,
            operator=operator or login_name(),
            note=note or "",
        )
        document = acts.act_on_all("shards move", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"{document['moved']} buckets moved")


@shards.command("spread")
@operator_option
@note_option("Why, for the record.")
@json_option
@settings_options
def spread(place: Place, *, operator: str | None, note: str | None, as_json: bool) -> None:
    """Even the buckets out over all shards; as few as possible move."""
    from stack import shards as acts  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    action = partial(acts.spread, operator=operator or login_name(), note=note or "")
    document = acts.act_on_all("shards spread", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"{document['moved']} buckets moved")
