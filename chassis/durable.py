"""Files that are there whole, or not at all, also after a power cut."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# What the system says where a disk is full, or a user's share of it: with room it goes on.
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_durably(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file atomically: temporary file, fsync, rename, fsync of the folder.

    A reader sees the old content or the new. Of two processes that write at once one wins, whole.

    Raises:
        OSError: it cannot be written; what was there stays, and nothing is left beside it.
    """
    temporary = temporary_name(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask says
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def temporary_name(path: Path) -> Path:
    """Where this process writes the next content of a file first."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def sync_folder(folder: Path) -> None:
    """Make renames and creations within a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that other processes on this machine respect (flock(2)).

    Waits as long as another holds it, which is one rotation; the kernel frees it with its process.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
