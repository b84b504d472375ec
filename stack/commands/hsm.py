"""`turnout hsm`: the keys of the running stack's HSM."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from stack.options import Place, settings_options

_COLUMNS: Final = ("network", "usage", "key_id", "state", "check_value", "origin", "created_at")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def hsm() -> None:
    """List keys; load a network's key-exchange key."""


@hsm.command("keys")
@json_option
@settings_options
def keys(place: Place, *, as_json: bool) -> None:
    """List capture keys and the keys shared with networks: ids, check values, dates."""
    from stack import hsm_admin  # noqa: PLC0415  when called: --help must not wait for it

    document = hsm_admin.list_keys(place)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for key in document["capture"]:
        suite = f"suite {key['suite']}"
        click.echo(f"capture  {suite}  {key['kid']}  {key['state']:<12}  until {key['not_after']}")
    for key in document["networks"]:
        click.echo(_line(key))


@hsm.command("load-kek")
@click.argument("network")
@click.option(
    "--component",
    "files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="64 hex digits and the check value, mode 0600; give two or three. Default: ask.",
)
@click.option(
    "--components",
    "count",
    type=click.IntRange(2, 3),
    default=2,
    show_default=True,
    help="How many to ask for.",
)
@click.option("--check-value", default="", help="Of the whole key, which it then must have.")
@json_option
@settings_options
def load_kek(
    place: Place,
    *,
    network: str,
    files: tuple[Path, ...],
    count: int,
    check_value: str,
    as_json: bool,
) -> None:
    """Load a network's key-exchange key from two or three components (AES-256, XOR).

    Each holder types in their own component, unseen by the others. The key that was there is
    replaced; session keys stay.
    """
    from stack import hsm_admin  # noqa: PLC0415
    from stack.endings import told_in_one_line  # noqa: PLC0415

    if network not in place.settings.networks:
        raise click.BadParameter("there is no such network in the settings", param_hint="NETWORK")
    with told_in_one_line("hsm load-kek", hsm_admin.EXITS):
        if files:
            components = [
                hsm_admin.read_component(number, path) for number, path in enumerate(files, start=1)
            ]
        else:
            components = [
                hsm_admin.parse_component(number, *_ask_for(number))
                for number in range(1, count + 1)
            ]
    document = hsm_admin.load_kek(place, network, components, check_value)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(_line(document))
    click.echo("Compare the check value with the network's letter.", err=True)


def _ask_for(number: int) -> tuple[str, str]:
    try:
        text = click.prompt(
            f"Component {number}, 64 hex digits (not shown)", hide_input=True, err=True
        )
        return text, click.prompt(f"Check value of component {number}", err=True)
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C, or Ctrl-D
            raise
        message = "standard input ends before the components do; is --component FILE meant?"
        raise click.UsageError(message) from None


def _line(key: dict[str, Any]) -> str:
    network, usage, key_id, state, check_value, origin, created_at = (
        key[column] for column in _COLUMNS
    )
    line = f"{network:<8}  {usage:<3}  {key_id:<4}  {state:<8}  {check_value}  {origin:<11}"
    line += f"  since {key['promoted_at'] or created_at}"
    return line + (f"  until {key['expires_at']}" if key["expires_at"] else "")
