"""`turnout webhooks`: where merchants are told of their payments, and how that went."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import click

from ledger.webhooks.statuses import DELIVERY_STATUSES
from stack.commands.operating import json_option, limit_option, note_option, operator_option
from stack.commands.parameters import PublicId
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options, shard_option

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
endpoint_argument = click.argument("endpoint", type=PublicId("we"))


class Instant(click.ParamType[int]):
    """An instant such as 2026-01-02T03:04:05Z, converted to microseconds since 1970."""

    name = "instant"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Check the form."""
        if isinstance(value, int):
            return value
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None or at < EPOCH:
            self.fail("must have the form 2026-01-02T03:04:05Z", param, ctx)
        return (at - EPOCH) // timedelta(microseconds=1)


@click.group()
def webhooks() -> None:
    """List endpoints, deliveries; replay, disable, enable."""


@webhooks.command("list")
@click.option("--merchant", type=PublicId("mer"), help="Only this merchant's.")
@limit_option
@json_option
@settings_options
def list_(place: Place, *, merchant: bytes | None, limit: int, as_json: bool) -> None:
    """List endpoints, oldest first."""
    from stack import webhooks as actions  # noqa: PLC0415  when called: --help must not wait for it
    from stack.acting import act  # noqa: PLC0415

    action = partial(actions.list_endpoints, merchant_id=merchant, limit=limit)
    document = act("webhooks list", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for one in document["endpoints"]:
        status = (
            f"{one['status']} ({one['disabled_reason']})" if one["disabled_reason"] else "enabled"
        )
        click.echo(f"{one['endpoint']}  {one['merchant']}  {one['mode']}  {status}  {one['url']}")


@webhooks.command("deliveries")
@click.argument("endpoint", type=PublicId("we"), required=False)
@click.option("--status", type=click.Choice(DELIVERY_STATUSES), default=None, help="Only these.")
@limit_option
@json_option
@every_shard_option
@settings_options
def deliveries(
    place: Place, *, endpoint: bytes | None, status: str | None, limit: int, as_json: bool
) -> None:
    """List deliveries with their tries, newest first."""
    from stack import webhooks as actions  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415

    action = partial(
        actions.list_deliveries, endpoint_id=endpoint, status=status or "", limit=limit
    )
    document = act("webhooks deliveries", place, action)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for one in document["deliveries"]:
        click.echo(f"{one['delivery']}  {one['status']}  {one['event_type']}  {one['event']}")
        for each in one["tries"]:
            result = each["reason"] or "delivered"
            code = "" if each["status_code"] is None else f" ({each['status_code']})"
            click.echo(
                f"    {each['number']:>2}  {each['started_at']}  {each['duration_ms']} ms  "
                f"{result}{code}"
            )


@webhooks.command("replay")
@endpoint_argument
@click.option("--from", "from_us", type=Instant(), required=True, help="Made at this or later.")
@click.option("--until", "before_us", type=Instant(), required=True, help="Made before this.")
@click.option("--failed", "only_failed", is_flag=True, help="Only those that were not delivered.")
@operator_option
@note_option("Why, for the record.")
@json_option
@shard_option
@settings_options
def replay(
    place: Place,
    *,
    endpoint: bytes,
    operator: str | None,
    note: str | None,
    as_json: bool,
    **which: Any,
) -> None:
    """Have an endpoint's deliveries of a time tried anew, as far as they are over."""
    from stack import webhooks as actions  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    action = partial(
        actions.replay,
        endpoint_id=endpoint,
        operator=operator or login_name(),
        note=note or "",
        **which,
    )
    document = act("webhooks replay", place, action)
    _print(document, f"{document['deliveries']} deliveries are due again", as_json=as_json)


@webhooks.command("disable")
@endpoint_argument
@operator_option
@note_option("Why, for the record.")
@json_option
@settings_options
def disable(place: Place, **given: Any) -> None:
    """Send an endpoint nothing more; what waits for it is canceled."""
    _switch(place, on=False, **given)


@webhooks.command("enable")
@endpoint_argument
@operator_option
@note_option("Why, for the record.")
@json_option
@settings_options
def enable(place: Place, **given: Any) -> None:
    """Send an endpoint what is committed from now on."""
    _switch(place, on=True, **given)


def _switch(
    place: Place,
    *,
    on: bool,
    endpoint: bytes,
    operator: str | None,
    note: str | None,
    as_json: bool,
) -> None:
    from stack import webhooks as actions  # noqa: PLC0415
    from stack.acting import act  # noqa: PLC0415
    from stack.deeds import login_name  # noqa: PLC0415

    action = partial(
        actions.switch,
        endpoint_id=endpoint,
        on=on,
        operator=operator or login_name(),
        note=note or "",
    )
    name = "enable" if on else "disable"
    document = act(f"webhooks {name}", place, action)
    _print(document, f"{document['endpoint']} is {name}d", as_json=as_json)


def _print(document: dict[str, Any], line: str, *, as_json: bool) -> None:
    click.echo(json.dumps(document, indent=2) if as_json else line)
