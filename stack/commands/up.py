"""`turnout up`: run every process on this machine until Ctrl-C."""

from __future__ import annotations

import sys

import click

from stack.options import (
    Place,
    apis_option,
    port_options,
    replica_option,
    second_relay_option,
    settings_options,
    shards_option,
    switches_option,
)


@click.command()
@port_options
@apis_option
@switches_option
@shards_option
@replica_option
@second_relay_option
@settings_options
@click.option(
    "--stop-on-eof",
    is_flag=True,
    help="Also stop when standard input ends: whoever started us holds the other end.",
)
def up(place: Place, *, stop_on_eof: bool) -> None:
    """Run every process on this machine until Ctrl-C.

    The first Ctrl-C (or SIGTERM) closes the front door, finishes every accepted request and exits
    with status 0; a second one kills everything (130).
    """
    click.echo(f"turnout is starting on {place.data_dir}", err=True)
    from stack.up import up_main  # noqa: PLC0415  when called: --help must not wait for it

    sys.exit(up_main(place, stop_on_eof=stop_on_eof))
