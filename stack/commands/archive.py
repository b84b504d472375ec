"""`turnout archive`: keep what the event stream has sealed elsewhere, and prove it there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from stack.commands.archive_hold import hold
from stack.commands.operating import json_option
from stack.commands.progress import progress
from stack.endings import EXIT_FAULT, told_in_one_line
from stack.every_shard import every_shard_option
from stack.options import EXIT_CANNOT_START, Place, settings_options, shard_option

_EXTRA = frozenset(("obstore", "pyarrow"))


OFFSET_MAX = 2**63 - 1


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--archive`, `--key` and `--log-key`: another archive, and whom to believe."""
    for option in (
        click.option("--log-key", help="The audit log's; likewise."),
        click.option("--key", help="The archive's public key, or the file that holds it."),
        click.option(
            "--archive",
            "source",
            metavar="FOLDER|URL",
            help="Another archive than the settings name.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def archive() -> None:
    """Archive what the event stream has sealed; verify, restore it."""


@archive.command("run")
@click.option("--dry-run", "dry", is_flag=True, help="Change nothing; say what would go.")
@json_option
@every_shard_option
@settings_options
def run(place: Place, *, dry: bool, as_json: bool) -> None:
    """Archive every sealed segment that the audit log has signed; remove what need not stay.

    Nothing is removed unless archive.stream_days, archive.database_days or archive.retention_days
    say so.
    """
    actions = _actions()
    with told_in_one_line("archive run", actions.EXITS), progress("archiving") as show:
        document = actions.run(place, show, dry=dry)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _tell_run(document, actions.removals(document))
    if document["database"]["broken_off"]:
        sys.exit(EXIT_FAULT)


def _tell_run(document: dict[str, Any], removals: list[str]) -> None:
    if document["dry_run"]:
        text = f"{document['segments']} segments would be archived"
    else:
        text = (
            f"{document['segments']} segments archived, {document['events']} records: "
            f"{document['segment_bytes']} bytes in {document['stored_bytes']}"
        )
        if document["waiting_for_signature"]:
            text += f"; {document['waiting_for_signature']} wait for the audit log's signature"
    click.echo(text)
    for line in removals:
        click.echo(line)


@archive.command("verify")
@source_options
@json_option
@every_shard_option
@settings_options
def verify(
    place: Place, *, source: str | None, key: str | None, log_key: str | None, as_json: bool
) -> None:
    """Hold every object to its manifest, and every manifest to the audit log's signature."""
    actions = _actions()
    with told_in_one_line("archive verify", actions.EXITS), progress("verifying") as show:
        keys = _keys(actions, key, log_key)
        document = actions.verify(place, show, archive=source, **keys)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    elif document["ok"]:
        events = document["checked"]["events"]
        click.echo(f"{document['segments']} segments, {events} records: as they were signed")
    else:
        for finding in document["findings"]:
            click.echo(f"{finding['where']}: {finding['detail']}")
        if (more := document["findings_total"] - len(document["findings"])) > 0:
            click.echo(f"… and {more} more")
    if not document["ok"]:
        sys.exit(EXIT_FAULT)


@archive.command("restore")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--from",
    "begin",
    type=click.IntRange(0, OFFSET_MAX),
    help="Offset of the first record wanted.  [default: all there are]",
)
@click.option(
    "--until",
    "end",
    type=click.IntRange(1, OFFSET_MAX),
    help="Offset behind the last record wanted.  [default: all there are]",
)
@source_options
@json_option
@shard_option
@settings_options
def restore(
    place: Place,
    *,
    folder: Path,
    begin: int | None,
    end: int | None,
    source: str | None,
    key: str | None,
    log_key: str | None,
    as_json: bool,
) -> None:
    """Write whole segments to FOLDER, byte for byte as the stream had them."""
    actions = _actions()
    with told_in_one_line("archive restore", actions.EXITS), progress("restoring") as show:
        keys = _keys(actions, key, log_key)
        document = actions.restore(
            place, folder, show, begin=begin, end=end, archive=source, **keys
        )
    text = (
        f"{document['folder']}: {document['segments']} segments, records "
        f"{document['first_offset']} to {document['end_offset'] - 1}"
    )
    click.echo(json.dumps(document, indent=2) if as_json else text)


@archive.command("status")
@json_option
@every_shard_option
@settings_options
def status(place: Place, *, as_json: bool) -> None:
    """How much is archived, and how much waits."""
    actions = _actions()
    with told_in_one_line("archive status", actions.EXITS):
        document = actions.status(place)
    text = (
        f"{document['archive']}: {document['segments']} segments, {document['events']} records; "
        f"{document['waiting']} sealed segments wait"
    )
    click.echo(json.dumps(document, indent=2) if as_json else text)


archive.add_command(hold)


def _keys(actions: Any, key: str | None, log_key: str | None) -> dict[str, Any]:
    """Both public keys as they were typed; None where the data directory's is meant."""
    return {
        "key": actions.read_key(key) if key else None,
        "log_key": actions.read_key(log_key) if log_key else None,
    }


def _actions() -> Any:
    """What the commands do; imported when called, for --help must not wait, and need no extra."""
    try:
        return import_module("stack.archive")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        click.echo(
            f"turnout archive: {error.name} is missing: pip install 'turnout[archive]'", err=True
        )
        sys.exit(EXIT_CANNOT_START)
