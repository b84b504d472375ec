"""`turnout saf`: advices that networks have not acknowledged, and what operators do about them."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import click

from stack.commands.operating import json_option, limit_option, note_option, operator_option
from stack.commands.parameters import PublicId
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options, shard_option

advice_argument = click.argument("advice", type=PublicId("att"))


@click.group()
def saf() -> None:
    """List, show, retry, resolve advices that a network has not acknowledged."""


@saf.command("list")
@click.option("--manual", "manual_only", is_flag=True, help="Only those that wait for an operator.")
@limit_option
@json_option
@every_shard_option
@settings_options
def list_(place: Place, *, manual_only: bool, limit: int, as_json: bool) -> None:
    """List what waits, oldest first."""
    from stack import saf as queue  # noqa: PLC0415  when called: --help must not wait for it
    from stack.acting import act  # noqa: PLC0415

    action = partial(queue.list_queue, manual_only=manual_only, limit=limit)
    document = act("saf list", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_saf  # noqa: PLC0415

    show_saf.queue(document)


@saf.command("show")
@advice_argument
@json_option
@shard_option
@settings_options
def show(place: Place, *, advice: bytes, as_json: bool) -> None:
    """Show one advice: its message's numbers, what was done about it, what may be done."""
    from stack import saf as queue  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415

    document = act("saf show", place, partial(queue.show, attempt_id=advice))
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from stack import show_saf  # noqa: PLC0415

    show_saf.advice(document)


@saf.command("retry")
@advice_argument
@operator_option
@note_option("Why, for the record.")
@json_option
@shard_option
@settings_options
def retry(
    place: Place, *, advice: bytes, operator: str | None, note: str | None, as_json: bool
) -> None:
    """Have an advice sent at once, also one that waits for an operator. Repeats do no harm."""
    from stack import saf as queue  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    action = partial(
        queue.retry, attempt_id=advice, operator=operator or login_name(), note=note or ""
    )
    _print(act("saf retry", place, action), "is sent at once", as_json=as_json)


@saf.command("resolve")
@advice_argument
@click.argument("word", type=click.Choice(["reversed", "approved", "declined"]))
@operator_option
@note_option("How you know: who at the network said so, when.", required=True)
@json_option
@shard_option
@settings_options
def resolve(
    place: Place, *, advice: bytes, word: str, operator: str | None, note: str, as_json: bool
) -> None:
    """Say what the network holds of an advice that waits for an operator.

    A reversal, cancel or release: `reversed` if it was undone there, or never held. A capture or
    completion: `approved` if it was posted there. All but a reversal: `declined` if it was not
    done and never will be.

    The message is not sent any more, and the payment ends accordingly within seconds.
    """
    from stack import saf as queue  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    action = partial(
        queue.resolve,
        attempt_id=advice,
        word=word,
        operator=operator or login_name(),
        note=note,
    )
    document = act("saf resolve", place, action)
    _print(document, f"counts as {word}", as_json=as_json)


def _print(document: dict[str, Any], done: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    effect = f"; effect on the payment: {document['effect']}" if "effect" in document else ""
    click.echo(f"{document['advice']} {done}{effect}")
