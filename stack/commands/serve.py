"""`turnout serve`: become one process. Started by the supervisor, never by hand."""

from __future__ import annotations

import sys
from importlib import import_module
from types import MappingProxyType

import click

from chassis.service import LaunchError, run_service

SERVICES = MappingProxyType(
    {
        "api": "api.service",
        "audit": "ledger.audit.service",
        "comparer": "ledger.comparison.service",
        "forwarder": "ledger.stream.kafka.service",
        "hsm": "hsm_sim.service",
        "postings": "ledger.postings.service",
        "relay": "ledger.relay.service",
        "shop": "stack.shop.service",
        "switch": "switch.service",
        "webhooks": "api.webhooks.service",
        "witness": "ledger.audit.witness_service",
    }
)
NETWORK_SERVICE = "network_sim.service"  # every other name is a simulated network's


@click.command(hidden=True)
@click.argument("name")
@click.option("--launch-fd", type=int, required=True, help="Descriptor of the launch document.")
def serve(name: str, launch_fd: int) -> None:
    """Run the process NAME as its launch document says."""
    module = import_module(SERVICES.get(name, NETWORK_SERVICE))
    try:
        run_service(launch_fd, module.serve, prepare=getattr(module, "prepare", None))
    except LaunchError as error:
        click.echo(f"turnout serve {name}: {error}; start processes with `turnout up`", err=True)
        sys.exit(3)
