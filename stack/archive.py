"""What `turnout archive` does: archives sealed segments, and holds the archive to proof.

Each action returns the document that `--json` prints. All work in the command's own process: what
Parquet costs is taken from no payment. Verifying needs the objects and two public keys, nothing of
the stack.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from chassis.clock import now_us
from chassis.crash_points import follow_arming
from chassis.durable import locked
from ledger.archive.archiver import Archiver, sealed_segments
from ledger.archive.catalog import (
    FOLDER,
    archived,
    make_work_folder,
    read_catalog,
    still_archived,
    work_folder,
)
from ledger.archive.errors import ArchiveError
from ledger.archive.expiring import Expirer
from ledger.archive.holds import Register
from ledger.archive.restoring import restore_segments
from ledger.archive.store import Store, open_store
from ledger.archive.trimming import Trimmer
from ledger.archive.verifying import verify_archive
from ledger.audit.findings import Findings
from ledger.audit.folders import log_folder
from ledger.audit.keys import KeyFileError, KeyPair, load_pair, load_public
from ledger.audit.level_files import LevelFileError
from ledger.audit.notes import NoteError, VerifierKey
from ledger.stream.segments.files import shard_folder
from stack.archive_months import MonthsPlace, untouched
from stack.archive_needs import consumers, left_tables, owners_of
from stack.archive_place import archive_key_stem, archive_pair, archive_url
from stack.audit import read_key, report
from stack.endings import EXIT_FAULT
from stack.log_key import log_key_of
from stack.options import EXIT_CANNOT_START, Place

Document = dict[str, Any]
Progress = Callable[[int, int], None]

EXITS: Final[dict[type[Exception], int]] = {
    KeyFileError: EXIT_CANNOT_START,
    OSError: EXIT_CANNOT_START,
    ArchiveError: EXIT_FAULT,
    NoteError: EXIT_FAULT,
    LevelFileError: EXIT_FAULT,
}
SHARD: Final = 0

__all__ = ["EXITS", "read_key", "restore", "run", "status", "verify"]


def run(place: Place, progress: Progress, *, dry: bool = False) -> Document:
    """Archive what is sealed and signed; then remove what the settings say need not stay.

    Args:
        place: whose stream.
        progress: hears how far it is.
        dry: change nothing; tell what would be archived and removed.

    Raises:
        ArchiveError: a segment cannot be archived, or an object cannot be believed.
        KeyFileError: there is no audit log, or the archive's key cannot be used.
        OSError: the stream cannot be read.
    """
    if place.settings.testing.crash_point_file:
        follow_arming(Path(place.settings.testing.crash_point_file))
    log_key = log_key_of(place)
    if dry:
        return _dry_run(place, log_key, progress)
    work = make_work_folder(place.data_dir, SHARD)
    with locked(work / "lock"):
        pair = archive_pair(place, log_key)
        archiver = Archiver(
            stream=shard_folder(place.data_dir, SHARD),
            log=log_folder(place.data_dir, SHARD),
            log_key=log_key,
            pair=pair,
            store=_store(place, make=True),
            work=work,
            now_us=now_us,
            shard=SHARD,
        )
        done = archiver.run(progress)
        removed = _remove(place, pair, log_key, progress, dry=False)
    return {
        "segments": done.segments,
        "events": done.records,
        "segment_bytes": done.segment_bytes,
        "stored_bytes": done.stored_bytes,
        "waiting_for_signature": done.unsigned,
        "archive": archive_url(place),
        "dry_run": False,
        **removed,
    }


def _dry_run(place: Place, log_key: VerifierKey, progress: Progress) -> Document:
    """What a run would do; writes nothing, not even a key."""
    done = archived(read_catalog(work_folder(place.data_dir, SHARD)))
    sealed = sealed_segments(shard_folder(place.data_dir, SHARD))
    waiting = [one for one in sealed if one not in done]
    key = archive_key_stem(place).with_suffix(".key")
    pair = load_pair(key) if key.exists() else None
    return {
        "segments": len(waiting),
        "archive": archive_url(place),
        "dry_run": True,
        **_remove(place, pair, log_key, progress, dry=True),
    }


def _remove(
    place: Place, pair: KeyPair | None, log_key: VerifierKey, progress: Progress, *, dry: bool
) -> Document:
    """Remove what may go; nothing is asked where nothing is ever removed."""
    if pair is None:
        reason = "nothing was archived yet"
        return {
            "stream": _untouched(reason),
            "database": untouched(reason),
            "archive_retention": _unexpired(reason),
        }
    return {
        "stream": _trim(place, pair, log_key, progress, dry=dry),
        "database": MonthsPlace(place, _store(place), pair, log_key).drop(progress, dry=dry),
        "archive_retention": _expire(place, pair, log_key, progress, dry=dry),
    }


def _trim(
    place: Place, pair: KeyPair, log_key: VerifierKey, progress: Progress, *, dry: bool
) -> Document:
    settings = place.settings.archive
    if not settings.stream_days:
        return _untouched("archive.stream_days is 0: segments stay in the stream")
    trimmer = Trimmer(
        stream=shard_folder(place.data_dir, SHARD),
        work=work_folder(place.data_dir, SHARD),
        store=_store(place),
        url=archive_url(place),
        pair=pair,
        log_key=log_key,
        holds=Register(place.data_dir / FOLDER, pair.public),
        owners_of=partial(owners_of, place),
        days=settings.stream_days,
        now_us=now_us,
        shard=SHARD,
    )
    done = trimmer.run(consumers(place, log_key), progress, dry=dry)
    return {
        "removed_segments": done.segments,
        "end_offset": done.end_offset,
        "freed_bytes": done.freed_bytes,
        "kept": done.kept or None,
    }


def _expire(
    place: Place, pair: KeyPair, log_key: VerifierKey, progress: Progress, *, dry: bool
) -> Document:
    settings = place.settings.archive
    if not settings.retention_days:
        return _unexpired("archive.retention_days is 0: the archive forgets nothing")
    if settings.retention_days <= max(settings.database_days, settings.stream_days):
        return _unexpired(
            "archive.retention_days must be above archive.stream_days and archive.database_days: "
            "what the archive has forgotten could leave neither stream nor tables"
        )
    done = Expirer(
        stream=shard_folder(place.data_dir, SHARD),
        work=work_folder(place.data_dir, SHARD),
        store=_store(place),
        pair=pair,
        log_key=log_key,
        holds=Register(place.data_dir / FOLDER, pair.public),
        owners_of=partial(owners_of, place),
        days=settings.retention_days,
        now_us=now_us,
        shard=SHARD,
    ).run(left_tables(place, pair.public), progress, dry=dry)
    return {
        "removed_segments": done.segments,
        "end_offset": done.end_offset,
        "kept": done.kept or None,
    }


def _unexpired(reason: str) -> Document:
    return {"removed_segments": [], "end_offset": 0, "kept": reason}


def removals(document: Document) -> list[str]:
    """What a run removed, or would remove, a line for each place that it looked at."""
    would = "would leave" if document["dry_run"] else "left"
    stream = document["stream"]
    lines = []
    if segments := stream["removed_segments"]:
        lines.append(
            f"{len(segments)} segments {would} the stream, records before {stream['end_offset']}: "
            f"{stream['freed_bytes']} bytes"
        )
    if stream["kept"]:
        lines.append(f"stream: {stream['kept']}")
    database = document["database"]
    if months := database["dropped_months"]:
        lines.append(
            f"{', '.join(months)} {would} the tables: {database['rows']} rows, all in the archive"
        )
    lines += [
        f"{month} stays in the tables: {why}" for month, why in database["kept_months"].items()
    ]
    if database["broken_off"]:
        lines.append(f"tables: broken off at {database['broken_off']}")
    if database["kept"]:
        lines.append(f"tables: {database['kept']}")
    retention = document["archive_retention"]
    if segments := retention["removed_segments"]:
        lines.append(
            f"{len(segments)} segments {would} the archive, records before "
            f"{retention['end_offset']}"
        )
    if retention["kept"]:
        lines.append(f"archive: {retention['kept']}")
    return lines


def _untouched(reason: str) -> Document:
    return {"removed_segments": [], "end_offset": 0, "freed_bytes": 0, "kept": reason}


def verify(
    place: Place,
    progress: Progress,
    *,
    archive: str | None = None,
    key: VerifierKey | None = None,
    log_key: VerifierKey | None = None,
) -> Document:
    """Hold every object to the archive's signature and to the log's.

    Args:
        place: whose archive, catalog and keys.
        progress: hears how far it is.
        archive: folder or URL of another one; its objects are held to no catalog then.
        key: the archive's; None believes the one of the data directory.
        log_key: the log's; likewise.

    Raises:
        ArchiveError: there is nothing to verify, or it cannot be read.
        KeyFileError: a key is missing.
    """
    catalog = {} if archive else still_archived(read_catalog(work_folder(place.data_dir, SHARD)))
    findings = Findings()
    verified = verify_archive(
        _store(place, archive),
        shard=SHARD,
        key=key or load_public(archive_key_stem(place).with_suffix(".pub")),
        log_key=log_key or log_key_of(place),
        catalog=catalog,
        findings=findings,
        progress=progress,
    )
    if not verified.segments and not findings.count:
        raise ArchiveError(f"{archive or archive_url(place)}: nothing was archived yet")
    checked = {"events": verified.records, "rows": 0, "checkpoints": verified.segments}
    return {**report(findings, checked), "segments": verified.segments}


def restore(
    place: Place,
    folder: Path,
    progress: Progress,
    *,
    begin: int | None = None,
    end: int | None = None,
    archive: str | None = None,
    key: VerifierKey | None = None,
    log_key: VerifierKey | None = None,
) -> Document:
    """Write segments back, byte for byte.

    Args:
        place: whose archive and keys.
        folder: where to.
        progress: hears how far it is.
        begin: the first record wanted; None: the oldest there is.
        end: behind the last one; None: all there are.
        archive: folder or URL of another archive.
        key: the archive's; None believes the one of the data directory.
        log_key: the log's; likewise.

    Raises:
        ArchiveError: an object is not what was signed, or not all that is wanted is there.
        KeyFileError: a key is missing.
    """
    done = restore_segments(
        _store(place, archive),
        folder,
        shard=SHARD,
        key=key or load_public(archive_key_stem(place).with_suffix(".pub")),
        log_key=log_key or log_key_of(place),
        begin=begin,
        end=end,
        progress=progress,
    )
    return {
        "folder": str(folder),
        "segments": done.segments,
        "first_offset": done.first_offset,
        "end_offset": done.end_offset,
        "segment_bytes": done.segment_bytes,
    }


def status(place: Place) -> Document:
    """How much is archived, how much waits; from catalog and stream alone."""
    entries = read_catalog(work_folder(place.data_dir, SHARD))
    done = still_archived(entries)
    known = archived(entries)
    sealed = sealed_segments(shard_folder(place.data_dir, SHARD))
    newest = max(done.values(), key=lambda one: one.end_offset, default=None)
    return {
        "archive": archive_url(place),
        "segments": len(done),
        "events": sum(one.end_offset - one.first_offset for one in done.values()),
        "end_offset": newest.end_offset if newest else 0,
        "newest_at_us": newest.at_us if newest else None,
        "waiting": len([one for one in sealed if one not in known]),
        "key": _public_key(place),
    }


def _store(place: Place, other: str | None = None, *, make: bool = False) -> Store:
    return open_store(other or archive_url(place), place.settings.archive, make=make)


def _public_key(place: Place) -> str | None:
    path = archive_key_stem(place).with_suffix(".pub")
    return str(load_public(path)) if path.exists() else None
