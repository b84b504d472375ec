"""The kept levels of the tree, as files that only grow: `<folder>/<level>/<first index>.hashes`.

A file holds 2 ** 20 hashes of 32 bytes and nothing else, so the hash at index i of level L stands
in the file of `i - i % 2**20`, at byte `32 * (i % 2**20)`; a C2SP tile is 8 KiB of it. Files cost
one sync each at a checkpoint, where a file per tile would cost one per 256 leaves. A full file is
made read-only.

What stands behind the last checkpoint is no evidence yet: it is cut off at the next start and made
again from the stream.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from attrs import define, field

from chassis.durable import sync_folder
from ledger.audit.levels import TILE_HEIGHT
from ledger.audit.merkle import HASH_BYTES

HASHES_PER_FILE: Final = 1 << 20  # 32 MiB: two files stay open a level, thirty leaves fill one
_SEALED: Final = 0o444
_GROWING: Final = 0o644
_FOLDER: Final = 0o755


class LevelFileError(Exception):
    """A file of hashes is missing, too short or unreadable; names file and byte offset."""


@define
class LevelFiles:
    """The lists of hashes under one folder; one process appends, any may read.

    Attributes:
        folder: of the levels.
    """

    folder: Path
    _reading: dict[Path, int] = field(factory=dict, repr=False)
    _writing: dict[Path, int] = field(factory=dict, repr=False)
    _unsynced: set[Path] = field(factory=set, repr=False)
    _new_folders: set[Path] = field(factory=set, repr=False)

    def read(self, level: int, first: int, count: int) -> list[bytes]:
        """Read so many hashes of a level's list.

        Raises:
            LevelFileError: they are not there.
        """
        found: list[bytes] = []
        while count:
            path, place = self._place(level, first)
            wanted = min(count, HASHES_PER_FILE - place)
            data = self._read(path, place * HASH_BYTES, wanted * HASH_BYTES)
            found += [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
            first, count = first + wanted, count - wanted
        return found

    def append(self, level: int, first: int, hashes: Sequence[bytes]) -> None:
        """Write hashes to a level's list from an index on; durable only after `sync`.

        Raises:
            OSError: the disk is full, or worse; the caller must not go on.
        """
        done = 0
        while done < len(hashes):
            path, place = self._place(level, first + done)
            batch = hashes[done : done + HASHES_PER_FILE - place]
            _write_all(self._writer(path), b"".join(batch), place * HASH_BYTES)
            self._unsynced.add(path)
            done += len(batch)

    def sync(self) -> None:
        """Make all that was appended durable; full files become read-only and are let go.

        Raises:
            OSError: it is not durable, and nobody knows what is; never try again.
        """
        for path in self._unsynced:
            descriptor = self._writing[path]
            os.fdatasync(descriptor)
            if os.fstat(descriptor).st_size == HASHES_PER_FILE * HASH_BYTES:
                os.fchmod(descriptor, _SEALED)
                os.close(self._writing.pop(path))
        self._unsynced.clear()
        while self._new_folders:
            sync_folder(self._new_folders.pop())

    def cut(self, size: int) -> None:
        """Drop what stands behind a tree of `size` leaves: it was never signed.

        Raises:
            OSError: it cannot be dropped.
        """
        self.close()
        for path in sorted(self.folder.glob("*/*.hashes")):
            level, first = int(path.parent.name), int(path.stem)
            keep = max(0, (size >> TILE_HEIGHT * level) - first) * HASH_BYTES
            if path.stat().st_size > keep:
                path.chmod(_GROWING)
                os.truncate(path, keep)

    def close(self) -> None:
        """Let go of all files; what was not synced is left to the system."""
        for descriptors in (self._reading, self._writing):
            for descriptor in descriptors.values():
                os.close(descriptor)
            descriptors.clear()
        self._unsynced.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, level: int, index: int) -> Path:
        """The file that holds the hash at an index of a level."""
        return self._place(level, index)[0]

    def _place(self, level: int, index: int) -> tuple[Path, int]:
        within = index % HASHES_PER_FILE
        return self.folder / str(level) / f"{index - within:020d}.hashes", within

    def _read(self, path: Path, offset: int, count: int) -> bytes:
        try:
            data = os.pread(self._reader(path), count, offset)
        except OSError as error:
            raise LevelFileError(f"{path} cannot be read: {error.strerror}") from error
        if len(data) != count:
            end = os.fstat(self._reader(path)).st_size
            raise LevelFileError(f"{path} ends at byte {end}, within the tree")
        return data

    def _reader(self, path: Path) -> int:
        if path not in self._reading:
            self._reading[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._reading[path]

    def _writer(self, path: Path) -> int:
        if path not in self._writing:
            self._make_folder(path.parent)
            if not path.exists():
                self._new_folders.add(path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            self._writing[path] = os.open(path, flags, _GROWING)
            os.fchmod(self._writing[path], _GROWING)  # whatever the umask says
        return self._writing[path]

    def _make_folder(self, folder: Path) -> None:
        if not folder.exists():
            make_readable(folder.parent)
            make_readable(folder)
            self._new_folders |= {folder.parent, folder.parent.parent}


def make_readable(folder: Path) -> None:
    """Make a folder that everyone may read, whatever the umask says."""
    folder.mkdir(exist_ok=True)
    folder.chmod(_FOLDER)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
