"""Where the archive's objects lie: there whole or not at all, and never written twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore

from chassis.durable import sync_folder
from ledger.archive.errors import StoreError

_FOLDER_MODE: Final = 0o700  # objects hold tokens and amounts
_FILE_MODE: Final = 0o400


class Store(Protocol):
    """Objects by name; names have slashes."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Store an object unless there is one of this name; whether it was stored. Durable.

        Raises:
            StoreError: it cannot be stored now.
        """

    def get(self, name: str) -> bytes | None:
        """Read an object; None if there is none.

        Raises:
            StoreError: it cannot be read now.
        """

    def names(self, prefix: str) -> list[str]:
        """The names that begin with this, in order.

        Raises:
            StoreError: they cannot be listed now.
        """

    def place(self, name: str) -> str:
        """Say for people where an object is."""


class FolderStore:
    """A folder on this machine.

    Args:
        folder: made if it is not there and `make` is set.
    """

    def __init__(self, folder: Path, *, make: bool = False) -> None:
        self._folder = folder
        if make:
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        self._store = LocalStore(folder) if folder.is_dir() else None

    def put_new(self, name: str, data: bytes) -> bool:
        """Store an object; see `Store`."""
        if self._store is None:
            raise StoreError(f"{self._folder}: there is no such folder")
        try:
            obstore.put(self._store, name, data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            self._settle(name)  # whoever put it there may have died before this
            return False
        except (BaseError, OSError) as error:
            raise _cannot("store", self.place(name), error) from error
        self._settle(name)
        return True

    def get(self, name: str) -> bytes | None:
        """Read an object; see `Store`."""
        if self._store is None:
            return None
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise _cannot("read", self.place(name), error) from error

    def names(self, prefix: str) -> list[str]:
        """List objects; see `Store`."""
        if self._store is None:
            return []
        try:
            found = [one["path"] for page in obstore.list(self._store, prefix) for one in page]
        except (BaseError, OSError) as error:
            raise _cannot("list", self.place(prefix), error) from error
        return sorted(found)

    def place(self, name: str) -> str:
        """The file's path."""
        return str(self._folder / name)

    def _settle(self, name: str) -> None:
        """Make an object durable, with its folders, and read-only."""
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fchmod(descriptor, _FILE_MODE)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            folder = path.parent
            while folder != self._folder.parent:
                sync_folder(folder)
                folder = folder.parent
        except OSError as error:
            raise _cannot("store", str(path), error) from error


def _cannot(verb: str, place: str, error: Exception) -> StoreError:
    """The first line of what a store says; the lines behind it are its own debugging."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return StoreError(f"cannot {verb} {place}: {reason}")
