"""`turnout ledger backup` and `turnout ledger restore`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from stack.commands.operating import json_option
from stack.options import Place, new_shard_option, settings_options, shard_option

folder_argument = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.command("backup")
@folder_argument
@json_option
@shard_option
@settings_options
def backup(place: Place, folder: Path, *, as_json: bool) -> None:
    """Copy the ledger of the running stack to FOLDER, which is new or empty.

    Payments go on. What is committed before the command ends is in the backup. It is as secret as
    the ledger.
    """
    from stack import backup as backups  # noqa: PLC0415  when called: --help must not wait

    document = backups.back_up(place, folder)
    _print(
        document,
        f"backed up to {document['folder']}: {document['bytes']:,} bytes, "
        f"everything committed before {document['ended_at']} (WAL {document['end_lsn']})",
        as_json=as_json,
    )


@click.command("restore")
@folder_argument
@json_option
@new_shard_option
@settings_options
def restore(place: Place, folder: Path, *, as_json: bool) -> None:
    """Make the ledger of a data directory, which has none, from the backup in FOLDER.

    Every file is verified where it lies afterwards. Then `turnout up` starts on it, and the relay
    compares the event stream with it: see `turnout relay status`.
    """
    from stack import backup as backups  # noqa: PLC0415

    document = backups.restore(place, folder)
    _print(
        document,
        f"restored to {document['data_dir']}: the ledger as of {document['ended_at']}, now on "
        f"timeline {document['timeline_now']}; start it, then see turnout relay status",
        as_json=as_json,
    )


def _print(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(document, indent=2) if as_json else text)
