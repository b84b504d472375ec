"""The right to write: a lock that the kernel lets go of with the process, and a number.

The lock (flock) keeps a second writer out on one machine. The epoch grows with every writer and
stands in the lock's file and in every frame: a writer that lost its file, by hand or on a file
system whose locks do not hold, sees before each append that it is no longer the one.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final, Self

from chassis.durable import sync_folder
from ledger.stream.errors import StreamBusyError, StreamCorruptError, StreamFatalError

NAME: Final = "lock"
_EPOCH_BYTES: Final = 12
_MODE: Final = 0o600  # readers have no business with it


class WriterLock:
    """Held from `take` to `release`.

    Attributes:
        epoch: this writer's number, above every earlier one's.
    """

    def __init__(self, path: Path, descriptor: int, epoch: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._inode = os.fstat(descriptor).st_ino
        self._text = _epoch_text(epoch)
        self.epoch = epoch

    @classmethod
    def take(cls, folder: Path) -> Self:
        """Become the writer of the stream in a folder.

        Raises:
            StreamBusyError: another process is.
            StreamCorruptError: the epoch is not readable.
        """
        path = folder / NAME
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            epoch = 1 + _read_epoch(path, descriptor)
            os.pwrite(descriptor, _epoch_text(epoch), 0)
            os.fsync(descriptor)
            sync_folder(folder)
        except BlockingIOError:
            os.close(descriptor)
            raise StreamBusyError(f"another process writes to {folder}") from None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, epoch)

    def check(self) -> None:
        """See that this writer is still the one.

        Raises:
            StreamFatalError: it is not.
        """
        try:
            same_file = self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            same_file = False
        if not same_file or os.pread(self._descriptor, _EPOCH_BYTES, 0) != self._text:
            raise StreamFatalError(f"{self._path} is another writer's now")

    def release(self) -> None:
        """Let another process write."""
        os.close(self._descriptor)


def _read_epoch(path: Path, descriptor: int) -> int:
    text = os.pread(descriptor, _EPOCH_BYTES, 0)
    if text and not text.strip().isdigit():
        raise StreamCorruptError(path, 0, "no epoch stands here")
    return int(text or b"0")


def _epoch_text(epoch: int) -> bytes:
    return f"{epoch:0{_EPOCH_BYTES - 1}}\n".encode()
