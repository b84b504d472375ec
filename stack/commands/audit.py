"""`turnout audit`: prove that nothing was changed, dropped or slipped in since it was captured."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from stack.commands.operating import json_option
from stack.commands.parameters import PublicId
from stack.endings import EXIT_FAULT, told_in_one_line
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options, shard_option

SIZE_MAX: Final = 2**63 - 1

Document = dict[str, Any]

key_option = click.option(
    "--key", required=True, help="The log's public key, or the file that holds it."
)
witness_key_option = click.option(
    "--witness-key", help="Of a witness that must have cosigned; likewise."
)


def archive_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--archive` and `--archive-key`; it receives them as `source`.

    Records that left the stream are read from there; without them a command says what it left out.
    """

    @click.option(
        "--archive",
        "archive",
        is_flag=False,
        flag_value="",
        metavar="[FOLDER|URL]",
        help="Read what left the stream from the archive; without a value, that of the settings.",
    )
    @click.option(
        "--archive-key",
        "archive_key",
        help="The archive's public key, or the file that holds it.  [default: the archive's own]",
    )
    @functools.wraps(command)
    def with_source(*, archive: str | None, archive_key: str | None, **rest: Any) -> None:
        from stack import audit as log  # noqa: PLC0415  when called: --help must not wait for it
        from stack.audit_source import Source  # noqa: PLC0415

        with told_in_one_line("audit", log.EXITS):
            key = None if archive_key is None else log.read_key(archive_key)
        command(source=Source(archive, key), **rest)

    return with_source


accept_option = click.option(
    "--accept-restores",
    is_flag=True,
    help="What the ledger lost when it was restored from a backup is known, and no finding.",
)


@click.group()
def audit() -> None:
    """Show and verify the audit log; prove one payment with a bundle."""


@audit.command("status")
@json_option
@every_shard_option
@settings_options
def status(place: Place, *, as_json: bool) -> None:
    """How much is signed, how much witnessed."""
    from stack import audit as log  # noqa: PLC0415  when called: --help must not wait for it

    with told_in_one_line("audit status", log.EXITS):
        document = log.status(place)
    _print(
        document,
        f"{document['origin']}: {document['signed']} records signed, "
        f"{document['witnessed']} witnessed",
        as_json=as_json,
    )


@audit.command("keys")
@json_option
@every_shard_option
@settings_options
def keys(place: Place, *, as_json: bool) -> None:
    """Print the public keys of log and witness: keep them where the files are not."""
    from stack import audit as log  # noqa: PLC0415

    with told_in_one_line("audit keys", log.EXITS):
        document = log.keys(place)
    lines = [f"{name:<8} {key}" for name, key in document.items() if key]
    _print(document, "\n".join(lines), as_json=as_json)


@audit.command("bundle")
@click.argument("payment", type=PublicId("pi"))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it.  [default: PAYMENT.bundle.json]",
)
@archive_options
@json_option
@shard_option
@settings_options
def bundle(
    place: Place, *, payment: bytes, output: Path | None, source: Any, as_json: bool
) -> None:
    """Write the evidence of one payment to a file that proves itself."""
    from ledger.ids import public_id  # noqa: PLC0415
    from stack import audit as log  # noqa: PLC0415

    path = output or Path(f"{public_id('pi', payment)}.bundle.json")
    with told_in_one_line("audit bundle", log.EXITS), _progress("reading the stream") as progress:
        document = log.make(place, payment, path, progress, source=source)
    _print(document, f"{document['file']}: {document['events']} records", as_json=as_json)


@audit.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@archive_options
@json_option
@shard_option
@settings_options
def export(place: Place, *, folder: Path, source: Any, as_json: bool) -> None:
    """Write checkpoint, tiles and entries as C2SP tlog-tiles has them."""
    from stack import audit as log  # noqa: PLC0415

    with told_in_one_line("audit export", log.EXITS), _progress("writing tiles") as progress:
        document = log.export(place, folder, progress, source=source)
    _print(document, f"{document['folder']}: {document['size']} records", as_json=as_json)


@audit.group()
def verify() -> None:
    """Verify all there is, one record, two checkpoints, or a bundle."""


@verify.command("all")
@click.option(
    "--key", help="The log's public key as you kept it, or its file.  [default: the log's own]"
)
@witness_key_option
@accept_option
@archive_options
@json_option
@every_shard_option
@settings_options
def verify_all(
    place: Place,
    *,
    key: str | None,
    witness_key: str | None,
    accept_restores: bool,
    source: Any,
    as_json: bool,
) -> None:
    """Compute the tree anew from the stream; hold it to levels, history and witness.

    If a stack runs, its tables are held to the stream, too, as by `verify db`.
    """
    from stack import audit as log  # noqa: PLC0415

    with told_in_one_line("audit verify all", log.EXITS), _progress("verifying") as progress:
        document = log.verify_all(
            place,
            progress,
            key=None if key is None else log.read_key(key),
            witness_key=None if witness_key is None else log.read_key(witness_key),
            source=source,
            accept_restores=accept_restores,
        )
    checked, database = document["checked"], document["database"]
    _conclude(
        document,
        f"{checked['events']} records, {checked['checkpoints']} checkpoints: as they were signed; "
        f"{document['unsigned']} not signed yet, {document['witnessed']} witnessed",
        as_json=as_json,
    )
    if as_json:
        return
    if (archived := document["archived"]) and archived["unread"]:
        click.echo(_unread(archived))
    if database["compared"]:
        click.echo(f"{checked['rows']} rows of the tables: as the stream has them")
        _tell_unproven(database)
    else:
        click.echo(f"tables not compared: {database['reason']}")


@verify.command("db")
@accept_option
@archive_options
@json_option
@every_shard_option
@settings_options
def verify_db(place: Place, *, accept_restores: bool, source: Any, as_json: bool) -> None:
    """Hold every row of a running stack's tables to the stream, and the other way round."""
    from stack import audit as log  # noqa: PLC0415

    with told_in_one_line("audit verify db", log.EXITS), _progress("comparing") as progress:
        document = log.verify_db(place, progress, source=source, accept_restores=accept_restores)
    checked = document["checked"]
    _conclude(
        document,
        f"{checked['rows']} rows, {checked['events']} records: each row is its newest record",
        as_json=as_json,
    )
    if as_json:
        return
    for one in document["restores"]:
        click.echo(f"restored at {one['at']} by {one['operator']}: {one['rows_lost']} rows lost")
    if document["not_compared"]:
        click.echo(f"columns not compared: {', '.join(document['not_compared'])}")
    _tell_unproven(document)


@verify.command("inclusion")
@click.argument("index", type=click.IntRange(0, SIZE_MAX))
@archive_options
@json_option
@shard_option
@settings_options
def verify_inclusion(place: Place, *, index: int, source: Any, as_json: bool) -> None:
    """Prove that record INDEX stands under the newest checkpoint."""
    from stack import audit as log  # noqa: PLC0415

    with told_in_one_line("audit verify inclusion", log.EXITS), _progress("reading") as progress:
        document = log.verify_inclusion(place, index, progress, source=source)
    _conclude(
        document, f"record {index}, at {document['where']}: as it was signed", as_json=as_json
    )


@verify.command("consistency")
@click.argument("old", type=click.IntRange(1, SIZE_MAX))
@click.argument("new", type=click.IntRange(1, SIZE_MAX), required=False)
@json_option
@shard_option
@settings_options
def verify_consistency(place: Place, *, old: int, new: int | None, as_json: bool) -> None:
    """Prove that the log signed at OLD records is a prefix of that at NEW, or the newest."""
    from stack import audit as log  # noqa: PLC0415

    with told_in_one_line("audit verify consistency", log.EXITS):
        document = log.verify_consistency(place, old, new)
    sizes = f"{document['old_size']} to {document['new_size']}"
    _conclude(document, f"the log only grew, from {sizes} records", as_json=as_json)


@verify.command("bundle")
@click.argument("file", type=click.File("rb"))
@key_option
@witness_key_option
@json_option
def verify_bundle(file: Any, *, key: str, witness_key: str | None, as_json: bool) -> None:
    """Verify a bundle with public keys alone, anywhere, and show what it holds."""
    from stack import audit as log  # noqa: PLC0415
    from stack import stream as events  # noqa: PLC0415
    from stack.audit_bundle import verify_file  # noqa: PLC0415

    with told_in_one_line("audit verify bundle", log.EXITS):
        witness = None if witness_key is None else log.read_key(witness_key)
        document = verify_file(file.read(), log.read_key(key), witness)
    missing = ", ".join(map(str, document["versions_missing"]))
    records = f"{document['checked']['events']} records"
    lines = [
        f"{document['payment']}: {records}, as {document['origin']} signed them",
        *map(events.line, document["events"]),
        *([f"versions that are not among them: {missing}"] if missing else []),
        *(f"not shown: {one}" for one in document["not_shown"]),
    ]
    _conclude(document, "\n".join(lines), as_json=as_json)


def _tell_unproven(compared: Document) -> None:
    if count := compared["restores_unproven"]:
        click.echo(f"restores older than the archive, unproven: {count}")


def _unread(archived: Document) -> str:
    """What of the archive nobody has looked at."""
    if archived["read"]:
        return f"records before {archived['unread']} are no longer in the archive: hashes alone"
    return (
        f"records before {archived['unread']} are in the archive, {archived['archive']}, and were "
        "not read: hashes alone; --archive reads them"
    )


def _conclude(document: Document, well: str, *, as_json: bool) -> None:
    """Print what a verification found; end with 1 if that is anything."""
    if document["ok"]:
        _print(document, well, as_json=as_json)
        return
    lines = [f"{one['where']}: {one['detail']}" for one in document["findings"]]
    if (more := document["findings_total"] - len(lines)) > 0:
        lines.append(f"… and {more} more")
    _print(document, "\n".join(lines), as_json=as_json)
    sys.exit(EXIT_FAULT)


def _print(document: Document, text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(document, indent=2) if as_json else text)


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr, for people; silent where nobody looks."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
