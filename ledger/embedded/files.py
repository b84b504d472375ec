"""The two files that a server of ours keeps in the data folder: its lock and its log."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO, Final

from ledger.errors import EmbeddedPostgresError

LOG_BYTES_MAX: Final = 16_777_216  # then it is cut; it holds warnings only, so this is weeks
_TAIL_BYTES: Final = 4_096


class FolderLock:
    """Says that this process runs the server; the kernel lets go of it if we are killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, making the folder if it is missing; nothing to do while we hold it.

        Raises:
            EmbeddedPostgresError: When another process holds it, or it cannot be written.
        """
        if self._file is not None:
            return
        folder = self._path.parent
        try:
            if not folder.exists():
                folder.mkdir(parents=True)
                folder.chmod(0o711)  # whatever the umask: the server's user passes through
            file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600), "w")
        except OSError as error:
            raise EmbeddedPostgresError(f"cannot write {self._path}: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise EmbeddedPostgresError(
                f"another process runs Postgres on {folder}; "
                "stop it, or give this one a data folder of its own"
            ) from None
        self._file = file

    def release(self) -> None:
        """Let go; nothing to do when we do not hold it."""
        if self._file is not None:
            self._file.close()
            self._file = None


class ServerLog:
    """What the server writes to stderr, appended to one file of bounded size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begins_at = 0  # what this start writes, as against earlier ones

    def open(self) -> int:
        """Open it for appending; returns a descriptor for the server, ours to close."""
        self.bound()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._begins_at = os.fstat(descriptor).st_size
        return descriptor

    def bound(self) -> None:
        """Cut it when it has outgrown its bound; the server appends, so it goes on at 0."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size > LOG_BYTES_MAX:
                os.truncate(self._path, 0)

    def tail(self) -> bytes:
        """The last few kilobytes since it was opened, or nothing."""
        try:
            return self._path.read_bytes()[self._begins_at :][-_TAIL_BYTES:]
        except OSError:
            return b""
