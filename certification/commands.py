"""`turnout certify`: play the catalog, or judge somebody else's acquirer."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from certification.catalog import Row

EXIT_FAULT: Final = 1
EXIT_USAGE: Final = 2
EXIT_CANNOT_START: Final = 3
EXIT_INTERRUPTED: Final = 130
_SEED_BITS: Final = 31


def _writable(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that cannot be written before five minutes have been spent on it."""
    if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written", context, option)
    return path


@click.command()
@click.option("--only", metavar="IDS", help="Cases to play, such as TL*,RV11.")
@click.option("--seed", type=int, help="Replays the order and the draws of an earlier run.")
@click.option(
    "--scale",
    type=click.FloatRange(min=0.02, max=1.0),
    help="What the timers are multiplied by.  [default: 0.2]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_writable,
    help="Write the report there, a page of HTML.",
)
@click.option("--keep", is_flag=True, help="Leave the data directories behind.")
@click.option("--list", "list_only", is_flag=True, help="List the cases and play none.")
@click.option("--peer", is_flag=True, help="Judge an acquirer that calls, from the wire alone.")
@click.option("--listen", type=click.IntRange(0, 65_535), help="Where the acquirer calls (--peer).")
@click.option("--dialect", metavar="NAME|FILE", default="net87b", help="Of the acquirer (--peer).")
@click.option(
    "--certs",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of ca.pem, network.pem, network.key; made where it is empty (--peer).",
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="How long to wait for what the acquirer was asked to send (--peer).",
)
def certify(
    *,
    only: str | None,
    seed: int | None,
    scale: float | None,
    as_json: bool,
    html: Path | None,
    keep: bool,
    list_only: bool,
    peer: bool,
    listen: int | None,
    dialect: str,
    certs: Path | None,
    wait_s: float,
) -> None:
    """Play the certification catalog against a stack of its own, or judge an acquirer (--peer).

    Exit status 1 when a case fails, 2 when --only names none, 3 when the stack does not start.
    """
    from certification.catalog import (  # noqa: PLC0415  --help must not wait
        UnknownCaseError,
        load_table,
        select,
    )

    try:
        rows = select(load_table(), _patterns(only))
    except UnknownCaseError as error:
        click.echo(f"turnout certify: {error}", err=True)
        sys.exit(EXIT_USAGE)
    if list_only:
        _show_cases(rows, as_json=as_json)
        return
    from certification import certify as running  # noqa: PLC0415  neither must --list
    from certification.peer import PeerPlace  # noqa: PLC0415

    if peer and listen is None:
        click.echo("turnout certify: --peer needs --listen PORT", err=True)
        sys.exit(EXIT_USAGE)
    order = running.Order(
        rows=rows,
        seed=secrets.randbits(_SEED_BITS) if seed is None else seed,
        factor=scale,
        keep=keep,
    )
    try:
        if peer:
            place = PeerPlace(port=listen or 0, dialect=dialect, certificates=certs, wait_s=wait_s)
            summary, page = running.certify_peer(order, place)
        else:
            summary, page = running.certify_switch(order)
    except* running.CannotStartError as group:
        click.echo(f"turnout certify: {group.exceptions[0]}", err=True)
        sys.exit(EXIT_CANNOT_START)
    except* KeyboardInterrupt:  # the stacks have been stopped and removed on the way here
        click.echo("turnout certify: interrupted; nothing is certified", err=True)
        sys.exit(EXIT_INTERRUPTED)
    written = html is None or _wrote(html, page)
    if as_json:
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{summary['passed']} passed, {summary['failed']} failed")
    sys.exit(EXIT_FAULT if summary["failed"] or not written else 0)


def _wrote(path: Path, text: str) -> bool:
    """Write the report; a disk that is full costs the page, not what was found out."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        click.echo(f"turnout certify: {path}: {error.strerror}", err=True)
        return False
    return True


def _patterns(only: str | None) -> list[str]:
    return [each.strip() for each in (only or "").split(",") if each.strip()]


def _show_cases(rows: Sequence[Row], *, as_json: bool) -> None:
    if as_json:
        cases = [{"id": row.id, "purpose": row.purpose} for row in rows]
        click.echo(json.dumps({"cases": cases}, indent=2))
        return
    for row in rows:
        click.echo(f"{row.id:6} {row.purpose}")
