"""`turnout stream`: look at events, at how much there is, and at what consumers put aside."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import Any, Final

import click

from stack.commands.operating import json_option, limit_option, note_option, operator_option
from stack.commands.parameters import PublicId, Text
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options, shard_option

OFFSET_MAX: Final = 2**63 - 1
TAIL_DEFAULT: Final = 20
GROUP: Final = r"[a-z][a-z0-9_]{0,62}"

group_type = Text(63, GROUP, "a consumer group such as postings")
offset_type = click.IntRange(0, OFFSET_MAX)


@click.group()
def stream() -> None:
    """Look at the event stream and its consumers."""


@stream.command("tail")
@click.option("--from", "start", type=offset_type, help="Begin at this offset.")
@click.option(
    "--limit",
    type=click.IntRange(1, OFFSET_MAX),
    help=f"How many at most.  [default: {TAIL_DEFAULT}; with --from or --payment all]",
)
@click.option("--follow", "-f", is_flag=True, help="Wait for more, until Ctrl-C.")
@click.option("--payment", type=PublicId("pi"), help="Only of this payment intent.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@shard_option
@settings_options
def tail(
    place: Place,
    *,
    start: int | None,
    limit: int | None,
    follow: bool,
    payment: bytes | None,
    as_json: bool,
) -> None:
    """Show events, oldest first."""
    import trio  # noqa: PLC0415  when called: --help must not wait

    from stack import stream as events  # noqa: PLC0415
    from stack.commands.progress import progress  # noqa: PLC0415
    from stack.endings import told_in_one_line  # noqa: PLC0415

    if limit is None and start is None and payment is None:
        limit = TAIL_DEFAULT
    selection = events.Selection(start=start, limit=limit, follow=follow, payment=payment)

    def show_one(document: dict[str, Any]) -> None:
        click.echo(json.dumps(document) if as_json else events.line(document))

    quiet = follow or payment is None
    with (
        told_in_one_line("stream tail", events.EXITS),
        contextlib.suppress(KeyboardInterrupt),
        progress("reading the stream", quiet=quiet) as bar,
    ):
        trio.run(events.tail, place, selection, show_one, bar)


@stream.command("show")
@click.argument("offset", type=offset_type)
@shard_option
@settings_options
def show(place: Place, *, offset: int) -> None:
    """Show one event in full, as JSON."""
    import trio  # noqa: PLC0415

    from stack import stream as events  # noqa: PLC0415
    from stack.endings import told_in_one_line  # noqa: PLC0415

    with told_in_one_line("stream show", events.EXITS):
        document = trio.run(events.show, place, offset)
    click.echo(json.dumps(document, indent=2))


@stream.command("status")
@json_option
@every_shard_option
@settings_options
def status(place: Place, *, as_json: bool) -> None:
    """How much there is; with a running stack, how far each consumer has come."""
    import trio  # noqa: PLC0415

    from stack import stream as events  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.endings import told_in_one_line  # noqa: PLC0415
    from stack.endpoints import NotRunningError, read_endpoints  # noqa: PLC0415

    with told_in_one_line("stream status", events.EXITS):
        document = trio.run(events.status, place)
    try:
        read_endpoints(place.data_dir)
    except NotRunningError:
        document["consumers"] = None
    else:
        document["consumers"] = act("stream status", place, events.consumers)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"records    {document['records']} (from offset {document['oldest_offset']})")
    click.echo(f"segments   {document['segments']}, {document['bytes'] / 1_048_576:.1f} MiB")
    click.echo(f"newest     {document['newest_at'] or '-'}")
    if not document["spare"] and document["segments"]:
        click.echo("spare      missing: is the disk full?")
    for one in document["consumers"] or ():
        behind = document["records"] - one["next_offset"]
        click.echo(f"consumer   {one['group']}: {one['next_offset']}, {max(behind, 0)} behind")


@stream.group()
def parked() -> None:
    """List, retry events that a consumer could not take in."""


@parked.command("list")
@click.option("--group", type=group_type, help="Only of this consumer group.")
@limit_option
@json_option
@every_shard_option
@settings_options
def parked_list(place: Place, *, group: str | None, limit: int, as_json: bool) -> None:
    """List what was put aside, and why."""
    from stack import stream as events  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415

    action = partial(events.parked, group=group or "", limit=limit)
    document = act("stream parked list", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    if not document["parked"]:
        click.echo("nothing is parked")
    for one in document["parked"]:
        state = "to be tried again" if one["retry_at"] else f"{one['tries']} tries"
        click.echo(f"{one['group']}  {one['offset']}  {one['parked_at']}  {state}  {one['reason']}")
    if document["more"]:
        click.echo(f"there are more: turnout stream parked list --limit {limit * 10}")


@parked.command("retry")
@click.argument("group", type=group_type)
@click.argument("offset", type=offset_type)
@operator_option
@note_option("Why it should go well now.")
@json_option
@shard_option
@settings_options
def parked_retry(
    place: Place,
    *,
    group: str,
    offset: int,
    operator: str | None,
    note: str | None,
    as_json: bool,
) -> None:
    """Have a consumer try a parked event again; its own process does so within seconds."""
    from stack import stream as events  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    action = partial(
        events.retry, group=group, offset=offset, operator=operator or login_name(), note=note or ""
    )
    document = act("stream parked retry", place, action)
    click.echo(
        json.dumps(document, indent=2)
        if as_json
        else f"{group} tries event {offset} again when it next looks"
    )
