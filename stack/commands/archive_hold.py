"""`turnout archive hold`: what may be removed from stream, archive and tables by nobody."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from stack.commands.operating import json_option, operator_option
from stack.commands.parameters import LINE, PublicId, Text
from stack.endings import told_in_one_line
from stack.options import Place, settings_options, shard_option

REASON_CHARACTERS_MAX = 1_000
NUMBER_MAX = 2**63 - 1

reason_option = click.option(
    "--reason",
    type=Text(REASON_CHARACTERS_MAX, LINE, "one line"),
    required=True,
    help="Why, for the record.",
)


class Span(click.ParamType[tuple[int, int]]):
    """Two instants, `FROM..UNTIL`, in microseconds; the second is exclusive."""

    name = "from..until"

    def convert(
        self,
        value: str | tuple[int, int],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, int]:
        """Read dates or instants of RFC 3339; without a zone they are UTC."""
        if isinstance(value, tuple):
            return value
        begin, dots, end = value.partition("..")
        try:
            instants = [datetime.fromisoformat(one) for one in (begin, end)]
        except ValueError:
            self.fail("must be FROM..UNTIL, such as 2026-01-01..2026-02-01", param, ctx)
        begin_us, end_us = (
            round((one if one.tzinfo else one.replace(tzinfo=UTC)).timestamp() * 1_000_000)
            for one in instants
        )
        if not dots or begin_us >= end_us:
            self.fail("must begin before it ends", param, ctx)
        return begin_us, end_us


@click.group()
def hold() -> None:
    """Legal holds: add, list, release what may be removed from nowhere."""


@hold.command("add")
@click.option("--merchant", type=PublicId("mer"), help="All payments of a merchant.")
@click.option("--intent", type=PublicId("pi"), help="One payment.")
@click.option("--range", "span_us", type=Span(), help="All that was committed in this time.")
@reason_option
@operator_option
@json_option
@shard_option
@settings_options
def add(
    place: Place,
    *,
    merchant: bytes | None,
    intent: bytes | None,
    span_us: tuple[int, int] | None,
    reason: str,
    operator: str | None,
    as_json: bool,
) -> None:
    """Keep what is named in stream, archive and tables until the hold is released."""
    from stack import archive_holds as holds  # noqa: PLC0415  when called: --help must not wait
    from stack.deeds import login_name  # noqa: PLC0415

    if [merchant, intent, span_us].count(None) != 2:
        raise click.UsageError("name one of --merchant, --intent and --range")
    with told_in_one_line("archive hold add", holds.EXITS):
        document = holds.add(
            place,
            operator=operator or login_name(),
            reason=reason,
            merchant=merchant,
            intent=intent,
            span_us=span_us,
        )
    _show(document, f"hold {document['hold']} holds {_what(document)}", as_json=as_json)


@hold.command("list")
@click.option("--all", "released_too", is_flag=True, help="Every deed, releases as well.")
@json_option
@shard_option
@settings_options
def list_(place: Place, *, released_too: bool, as_json: bool) -> None:
    """List what is held, oldest first."""
    from stack import archive_holds as holds  # noqa: PLC0415

    with told_in_one_line("archive hold list", holds.EXITS):
        document = holds.list_holds(place, released_too=released_too)
    lines = [
        f"{one['hold']:>4}  {one['action']:<8} {one['at']}  {_what(one)}  "
        f"{one['operator']}: {one['reason']}"
        for one in document["holds"]
    ]
    _show(document, "\n".join(lines) or "nothing is held", as_json=as_json)


@hold.command("release")
@click.argument("number", type=click.IntRange(1, NUMBER_MAX))
@reason_option
@operator_option
@json_option
@shard_option
@settings_options
def release(place: Place, *, number: int, reason: str, operator: str | None, as_json: bool) -> None:
    """Let go of hold NUMBER: what it alone held may be removed by the next run."""
    from stack import archive_holds as holds  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    with told_in_one_line("archive hold release", holds.EXITS):
        document = holds.release(
            place, number=number, operator=operator or login_name(), reason=reason
        )
    _show(document, f"hold {number} is released, by {document['operator']}", as_json=as_json)


def _what(document: dict[str, Any]) -> str:
    if document["merchant"] or document["intent"]:
        return str(document["merchant"] or document["intent"])
    return f"{document['begin']}..{document['end']}"


def _show(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(document, indent=2) if as_json else text)
