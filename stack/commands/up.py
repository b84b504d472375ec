"""`turnout up`: run every process on this machine until Ctrl-C."""

from __future__ import annotations

import os
import sys

import click
import trio

from chassis.log import configure_logging
from chassis.supervisor import StartError
from stack.endpoints import Endpoints
from stack.options import EXIT_CANNOT_START, Place, port_options, settings_options
from stack.provisioning import PROVISION
from stack.run import StackFailedError, running_stack

EXIT_INTERRUPTED = 130


@click.command()
@port_options
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
    configure_logging(place.settings.log, process="up")
    click.echo(f"turnout is starting on {place.data_dir}", err=True)
    try:
        exit_code = trio.run(_up, place, stop_on_eof)
    except StartError as error:
        click.echo(f"turnout up: {error}", err=True)
        exit_code = EXIT_CANNOT_START
    except StackFailedError as error:
        exit_code = error.exit_code
    except KeyboardInterrupt:  # before there was anything to drain
        exit_code = EXIT_INTERRUPTED
    sys.exit(exit_code)


async def _up(place: Place, stop_on_eof: bool) -> int:  # noqa: FBT001 - trio.run passes by position
    async with running_stack(
        place.settings, data_dir=place.data_dir, environ=os.environ, provision=PROVISION
    ) as stack:
        click.echo(ready_line(stack.endpoints, place), err=True)
        if stop_on_eof:
            await _until_end_of_input()
        else:
            await trio.sleep_forever()
    return stack.exit_code


def ready_line(endpoints: Endpoints, place: Place) -> str:
    """What an operator wants to know once everything runs, on one line."""
    networks = " ".join(f"{name} {address}" for name, address in endpoints.networks.items())
    return (
        f"turnout is ready: API {endpoints.api.url} · {networks} · "
        f"metrics {endpoints.metrics['api']} · data {place.data_dir} · Ctrl-C stops"
    )


async def _until_end_of_input() -> None:
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as standard_input:
        async for _ in standard_input:
            continue
