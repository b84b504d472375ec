"""`turnout doctor`: check that this machine can run Turnout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs
import click

from stack.options import Place, port_options, settings_options, shards_option

if TYPE_CHECKING:  # --help must not wait for what the checks import
    from stack.doctor import Check

EXIT_FAULT_FOUND: Final = 1
_COLORS: Final = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command()
@port_options
@shards_option
@settings_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def doctor(place: Place, *, as_json: bool) -> None:
    """Check that this machine can run Turnout: ports, disk, file limit, clock, users, Postgres.

    Exit status 1 if something would keep the stack from running.
    """
    from stack.doctor import examine  # noqa: PLC0415  when called: --help must not wait for it

    checks = examine(place.settings, place.data_dir, os.environ)
    for check in checks:
        click.echo(render(check), err=True)
    if as_json:
        click.echo(json.dumps(document(checks)))
    sys.exit(0 if document(checks)["ok"] else EXIT_FAULT_FOUND)


def document(checks: Sequence[Check]) -> dict[str, object]:
    """The JSON document: `ok` unless a check has failed."""
    return {
        "ok": all(check.status != "failed" for check in checks),
        "checks": [attrs.asdict(check) for check in checks],
    }


def render(check: Check) -> str:
    """One check on one line, and its remedy on the next."""
    status = click.style(f"{check.status:8}", fg=_COLORS[check.status])
    remedy = f"\n{'':20}{check.remedy}" if check.remedy else ""
    return f"{status} {check.name:10} {check.detail}{remedy}"
