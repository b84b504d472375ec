"""What was archived from here: a line for each step that is done, durable when it is noted.

    <data_dir>/archiving/<shard>/catalog.jsonl
    {"step":"archived","first_offset":0,"end_offset":184311,"at_us":…,"manifest":"<SHA-256>"}

It is the memory of this side: a segment that stands in it and is gone from the store is missed.
What it says can be found out anew from the store, so a lost catalog costs reading, not evidence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from chassis.durable import sync_folder
from ledger.archive.errors import ArchiveError, StoreError

FOLDER: Final = "archiving"
ARCHIVED: Final = "archived"  # the segment is in the store
REMOVING: Final = "removing"  # it is about to leave the stream
REMOVED: Final = "removed"  # it has left it
EXPIRING: Final = "expiring"  # it is about to leave the archive
EXPIRED: Final = "expired"  # it has left it
_NAME: Final = "catalog.jsonl"
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class Entry(msgspec.Struct, frozen=True):
    """One step that is done.

    Attributes:
        step: ARCHIVED and those behind it.
        first_offset: of the segment's first record.
        end_offset: behind its last.
        at_us: when, Unix microseconds.
        manifest: SHA-256 of the manifest as it is stored, in hex; empty in other steps.
    """

    step: str
    first_offset: int
    end_offset: int
    at_us: int
    manifest: str


def work_folder(data_dir: Path, shard: int) -> Path:
    """Where catalog and unfinished files of a shard lie."""
    return data_dir / FOLDER / str(shard)


def make_work_folder(data_dir: Path, shard: int) -> Path:
    """Make it, for its owner alone."""
    folder = work_folder(data_dir, shard)
    for one in (folder.parent, folder):
        one.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    return folder


def read_catalog(folder: Path) -> list[Entry]:
    """Every step, in its order. A last line that a crash tore was never acknowledged.

    Raises:
        ArchiveError: a line is damaged.
        OSError: it cannot be read.
    """
    path = folder / _NAME
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    entries = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.DecodeError:
            raise ArchiveError(f"{path} line {number} is damaged") from None
    return entries


def archived(entries: Iterable[Entry]) -> dict[int, Entry]:
    """The segments that are in the store, by their first offset."""
    return {one.first_offset: one for one in entries if one.step == ARCHIVED}


def still_archived(entries: Iterable[Entry]) -> dict[int, Entry]:
    """Those of them that nobody has begun to remove."""
    entries = list(entries)
    going = noted(entries, EXPIRING)
    return {first: one for first, one in archived(entries).items() if first not in going}


def old_end(done: Mapping[int, Entry], before_us: int) -> int:
    """Up to which offset everything was archived before an instant."""
    end = 0
    for first_offset in sorted(done):
        if done[first_offset].at_us > before_us:
            break
        end = done[first_offset].end_offset
    return end


def noted(entries: Iterable[Entry], step: str) -> set[int]:
    """The first offsets of the segments that a step was noted of."""
    return {one.first_offset for one in entries if one.step == step}


def add_entry(folder: Path, entry: Entry) -> None:
    """Note a step, durably; a torn line before it is cut off.

    Raises:
        StoreError: there is no room, or worse; nothing was noted.
    """
    path = folder / _NAME
    line = msgspec.json.encode(entry) + b"\n"
    is_new = not path.exists()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            whole, newline, _ = path.read_bytes().rpartition(b"\n")
            end = len(whole) + len(newline)
            os.ftruncate(descriptor, end)
            written = os.pwrite(descriptor, line, end)
            if written != len(line):
                raise StoreError(f"cannot note a step in {path}: no room")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(folder)
    except OSError as error:
        raise StoreError(f"cannot note a step in {path}: {error.strerror}") from error
