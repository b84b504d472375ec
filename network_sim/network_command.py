"""`turnout network`: one card network by itself, to certify an acquirer's host against."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from chassis.settings import SettingsError, data_directory, load_settings

EXIT_CANNOT_START: Final = 3
DEFAULT_ADDRESS: Final = "127.0.0.1:8583"
CERTS_FOLDER: Final = "network-certs"
_ADDRESS: Final = re.compile(r"(?:(?P<host>\[[^\]]+\]|[^:\[\]]+):)?(?P<port>[0-9]{1,5})")


class Address(click.ParamType[tuple[str, int]]):
    """`[HOST:]PORT`; the host is this machine's loopback if it is left out."""

    name = "[host:]port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Split it."""
        if isinstance(value, tuple):
            return value
        match = _ADDRESS.fullmatch(value)
        if match is None or int(match["port"]) > 65_535:
            self.fail(f"{value} is no [HOST:]PORT", param, ctx)
        return (match["host"] or "127.0.0.1").strip("[]"), int(match["port"])


def default_certs() -> Path:
    """Where certificates are kept when nobody says otherwise; unusable settings end the program."""
    try:
        settings = load_settings(config=None, environ=os.environ)
    except SettingsError as error:
        _cannot_start(error)
    return data_directory(settings, os.environ, os.geteuid()) / CERTS_FOLDER


@click.group(invoke_without_command=True)
@click.option(
    "--dialect",
    metavar="NAME|FILE",
    default="net87b",
    show_default=True,
    help="net87b, vip, cis, or the path of a dialect file (.toml).",
)
@click.option("--listen", type=Address(), default=DEFAULT_ADDRESS, show_default=True)
@click.option("--certs", type=click.Path(path_type=Path), help="Folder of the certificates.")
@click.option("--mac", type=click.Choice(["none", "cmac"]), help="Default: as the dialect says.")
@click.option("--script", type=click.Path(path_type=Path), help="File of faults to make.")
@click.option("--seed", type=int, help="Of everything that the script leaves to chance.")
@click.option("--triggers/--no-triggers", default=True, help="Whether amounts trigger faults.")
@click.option("--codec", type=click.Choice(["compiled", "pyiso8583"]), default="compiled")
@click.option("--no-sign-on", is_flag=True, help="Take payments without a sign-on.")
@click.option("--record", type=click.Path(path_type=Path), help="Keep the network's own record.")
@click.option(
    "--time-factor",
    type=click.FloatRange(min=0.001, max=1000),
    default=1.0,
    help="Multiply every time by this.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show messages element by element.")
@click.pass_context
def network(context: click.Context, /, **options: Any) -> None:
    """Run one card network by itself, to certify a host against.

    Prints where it is, where the certificates are, and a sign-on and a sale in hex; then one line
    for every message. Ctrl-C ends it with status 0.
    """
    if context.invoked_subcommand is not None:
        return
    from network_sim.standalone import (  # noqa: PLC0415  when called: --help must not wait for it
        CannotStartError,
        Plan,
        run,
    )

    host, port = options.pop("listen")
    certs, sign_on = options.pop("certs") or default_certs(), not options.pop("no_sign_on")
    plan = Plan(host=host, port=port, certs=certs, sign_on=sign_on, **options)
    try:
        run(plan, output=sys.stdout, commands=sys.stdin)
    except CannotStartError as error:
        _cannot_start(error)


@network.command()
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default as of `network`.")
def certs(out: Path | None) -> None:
    """Make the certificates and keys that an acquirer needs."""
    from network_sim.standalone import (  # noqa: PLC0415
        ACQUIRER_NAME,
        NETWORK_NAME,
        CannotStartError,
        make_certs,
    )

    folder = (out or default_certs()).absolute()
    try:
        make_certs(folder)
    except CannotStartError as error:
        _cannot_start(error)
    click.echo(f"{folder}/ca.pem              the CA that both trust")
    click.echo(f"{folder}/{ACQUIRER_NAME}.pem, .key  the acquirer's certificate and key")
    click.echo(f"{folder}/{NETWORK_NAME}.pem, .key   the network's own")
    click.echo(f"{folder}/{NETWORK_NAME}.kek         the key-exchange key, where MACs are used")


@network.command()
def triggers() -> None:
    """List the amounts that make the network do something out of the ordinary."""
    from network_sim.standalone import trigger_rules  # noqa: PLC0415

    for rule in trigger_rules():
        amount = rule.match.amount
        assert isinstance(amount, int)
        click.echo(f"{amount // 100}.{amount % 100:02d}  {rule.name}")


def _cannot_start(error: Exception) -> NoReturn:
    click.echo(f"turnout network: {error}", err=True)
    sys.exit(EXIT_CANNOT_START)
