"""`turnout demo`: start everything, run the stories, keep serving."""

from __future__ import annotations

import sys

import click

from stack.options import Place, port_options, settings_options, shards_option


@click.command()
@click.option(
    "--exit", "leave", is_flag=True, help="Stop after the stories; status 1 if one fails."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@port_options
@shards_option
@settings_options
def demo(place: Place, *, leave: bool, as_json: bool) -> None:
    """Start everything, run the stories, keep serving until Ctrl-C.

    Seven payments, told event by event with the fields of their messages: approved, declined,
    answered too late, found out by an inquiry, reversed, captured in part, refunded in part.
    """
    click.echo(
        f"turnout demo: starting the ledger, the HSM, the card networks, the switch and the API "
        f"on {place.data_dir}",
        err=as_json,
    )
    from stack.demo import demo_main  # noqa: PLC0415  takes a moment on a cold disk

    sys.exit(demo_main(place, leave=leave, as_json=as_json))
