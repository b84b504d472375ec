"""What `turnout ledger backup` and `turnout ledger restore` do.

A backup is of the ledger alone. Stream and audit log are records of their own, which a restored
ledger is held to; so the backup notes where they stood when it began: what they have from there on
may be missing in it. Keys of the HSM, certificates and settings are kept elsewhere, by people.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from chassis.log import configure_logging
from chassis.settings import Settings
from chassis.supervisor import StartError
from ledger.audit.folders import log_folder
from ledger.audit.log import CHECKPOINT
from ledger.connection import Connection
from ledger.embedded.backup import Backup, BackupError, copy_cluster, seal
from ledger.embedded.binaries import find_binaries
from ledger.embedded.cluster import Layout
from ledger.embedded.identity import Identity
from ledger.embedded.restoring import restore as restore_cluster
from ledger.errors import EmbeddedPostgresError, LedgerError
from ledger.pgtypes import int4_
from ledger.queries import Query
from ledger.relay.ledger_side import read_positions
from ledger.relay.positions import format_lsn, parse_history
from ledger.relay.restores import Restore, lost_range, newest_mark, take_note
from ledger.stream.errors import StreamError
from ledger.stream.open import stream_reader
from ledger.stream.segments.files import list_segments, shard_folder
from stack.acting import Document
from stack.database import postgres_uid
from stack.deeds import login_name
from stack.endings import EXIT_FAULT, told_in_one_line
from stack.endpoints import NotRunningError
from stack.instants import rfc3339
from stack.layout import stack_users
from stack.options import EXIT_CANNOT_START, Place, quiet_log
from stack.running import RunningStack, find_running

EXITS: Final[dict[type[Exception], int]] = {
    NotRunningError: EXIT_CANNOT_START,
    StartError: EXIT_CANNOT_START,
    EmbeddedPostgresError: EXIT_CANNOT_START,
    LedgerError: EXIT_FAULT,
    StreamError: EXIT_FAULT,
    OSError: EXIT_FAULT,
}
_MICROSECONDS: Final = 1_000_000
_CAN_NOTE: Final = Query("can_note_restores", "SELECT to_regclass('restores') IS NOT NULL")
_HISTORY: Final = Query(
    "timeline_history",
    "SELECT pg_read_file('pg_wal/' || lpad(upper(to_hex($1::integer)), 8, '0') || '.history')",
)


def back_up(place: Place, folder: Path) -> Document:
    """Back up the ledger of the stack that runs; what a user can mend ends the program."""
    with told_in_one_line("ledger backup", EXITS):
        _see_that_it_is_ours(place.settings)
        stack = find_running(place.settings, place.data_dir)
        configure_logging(quiet_log(place.settings.log), process="ledger")
        return _document(folder, trio.run(back_up_running, stack, folder))


def restore(place: Place, folder: Path) -> Document:
    """Make a ledger from a backup; what a user can mend ends the program."""
    with told_in_one_line("ledger restore", EXITS):
        _see_that_it_is_ours(place.settings)
        configure_logging(quiet_log(place.settings.log), process="ledger")
        settings = place.settings
        users = stack_users(settings, euid=os.geteuid())
        uid = postgres_uid(settings, users)
        _make_data_dir(place.data_dir)
        lost: list[range] = []
        restored = trio.run(
            partial(
                restore_cluster,
                folder.absolute(),
                data_dir=place.data_dir,
                settings=settings.ledger,
                uid=uid,
                forget_cursors=not has_stream(place.data_dir),
                before_others=partial(_note_lost, place, folder, lost),
            )
        )
        document = _document(folder, restored.backup)
        return {
            **document,
            "data_dir": str(place.data_dir),
            "timeline_now": restored.timeline,
            "lost": {"from": lost[0].start, "until": lost[0].stop} if lost else None,
        }


async def _note_lost(
    place: Place, folder: Path, found: list[range], session: Connection, timeline: int
) -> None:
    """Note in a restored ledger what the stream has of a later state; nothing where it has not.

    A ledger of an older release has no place for the note yet: then the relay makes it.
    """
    if not has_stream(place.data_dir) or not (await session.run(_CAN_NOTE)).column(0)[0]:
        return
    history = (await session.run(_HISTORY, [int4_(timeline)])).column(0)[0]
    async with stream_reader(place.settings, place.data_dir) as reader:
        mark = await newest_mark(reader)
        if mark is None:
            return
        lost = await lost_range(reader, mark.timeline, parse_history(history))
        if not lost:
            return
        restore = Restore(
            mark.system_identifier,
            mark.timeline,
            timeline,
            lost,
            login_name(),
            f"turnout ledger restore {folder}",
        )
        await take_note(session, reader, restore)
    found.append(lost)


async def back_up_running(stack: RunningStack, folder: Path) -> Backup:
    """Back up a running stack's ledger, and note where stream and audit log stood before.

    Raises:
        BackupError: the folder is not empty, or Postgres refuses.
        LedgerError, StreamError, OSError: something cannot be read or written.
    """
    layout = Layout(stack.data_dir)
    ourselves = Identity(os.geteuid(), os.getegid(), switched=False)
    settings = stack.settings
    binaries = await find_binaries(settings.ledger.bindir, layout.binaries, ourselves)
    async with stack.administration() as session:
        around = {"stream": await _stream(stack, session), "audit": _audit(stack.data_dir)}
    backup = await copy_cluster(
        binaries,
        socket_dir=Path(stack.endpoints.sockets["postgres"][0]),
        password=layout.password.read_text().strip(),
        to=folder,
    )
    backup = msgspec.structs.replace(backup, stack=around)
    seal(folder, backup)
    return backup


async def _stream(stack: RunningStack, session: Connection) -> Document:
    """How far the stream is, by its files and by what the relay has acknowledged."""
    name = stack.settings.relay.slot
    _, slot = await read_positions(session, name)
    async with stream_reader(stack.settings, stack.data_dir) as reader:
        records = (await reader.high_water()).get(0, 0)
    return {
        "slot": name,
        "acknowledged_lsn": None if slot is None else format_lsn(slot.confirmed_lsn),
        "records": records,
    }


def _audit(data_dir: Path) -> Document:
    """The checkpoint that was published last, as it stands: it proves what the log had then."""
    path = log_folder(data_dir) / CHECKPOINT
    return {"checkpoint": path.read_text() if path.exists() else None}


def has_stream(data_dir: Path) -> bool:
    """Whether a data directory has an event stream, however short."""
    folder = shard_folder(data_dir, 0)
    return folder.exists() and bool(list_segments(folder))


def _see_that_it_is_ours(settings: Settings) -> None:
    if settings.ledger.url:
        raise BackupError(
            "the ledger is in a Postgres of yours (ledger.url); back it up by its own means: "
            "pg_basebackup with an archive of its WAL (pgBackRest, Barman), or snapshots. "
            "What the relay makes of a restore: docs/operations.md"
        )


def _make_data_dir(data_dir: Path) -> None:
    """As `turnout up` makes it: as root other users pass through."""
    data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)


def _document(folder: Path, backup: Backup) -> Document:
    return {
        "folder": str(folder),
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "began_at": rfc3339(round(backup.began_at.timestamp() * _MICROSECONDS)),
        "ended_at": rfc3339(round(backup.ended_at.timestamp() * _MICROSECONDS)),
        "postgres": backup.postgres,
        "system_identifier": backup.system_identifier,
        "timeline": backup.timeline,
        "end_lsn": backup.end_lsn,
        **backup.stack,
    }
