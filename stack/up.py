"""What `turnout up` does: one stack in this process's care until somebody asks it to stop."""

from __future__ import annotations

import os
import sys
from functools import partial

import click
import trio

from chassis.log import configure_logging
from stack.endpoints import Endpoints
from stack.foreground import run_in_foreground
from stack.options import Place
from stack.provisioning import PROVISION
from stack.run import running_stack


def up_main(place: Place, *, stop_on_eof: bool) -> int:
    """Run a stack to its end.

    Args:
        place: the settings and the data directory.
        stop_on_eof: drain also when standard input ends.

    Returns:
        The exit status.
    """
    configure_logging(place.settings.log, process="up")
    return run_in_foreground("up", partial(_up, place, stop_on_eof=stop_on_eof))


async def _up(place: Place, *, stop_on_eof: bool) -> int:
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
    count = place.settings.shards.count
    shards = f"{count} shards · " if count > 1 else ""
    shop = f"demo shop {endpoints.shop} · " if endpoints.shop else ""
    return (
        f"turnout is ready: API {endpoints.api.url} · {shop}{networks} · {shards}"
        f"metrics {endpoints.metrics['api']} · data {place.data_dir} · Ctrl-C stops"
    )


async def _until_end_of_input() -> None:
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as standard_input:
        async for _ in standard_input:
            continue
