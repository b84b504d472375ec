"""Where the archive's objects lie: there whole or not at all, and never written twice.

A folder, or a bucket behind the S3 protocol. In a bucket, that an object is stored only where none
is rests on `If-None-Match: *`, which Amazon has had since 2024, and MinIO, Ceph and others have: a
store that ignores it would let two runs at once replace each other's objects, and both would notice
when they read back.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, S3Store

from chassis.durable import sync_folder
from chassis.settings.archive import Archive
from ledger.archive.errors import StoreError

S3_SCHEME: Final = "s3"
_DEFAULT_REGION: Final = "us-east-1"
_LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))
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

    def remove(self, name: str) -> None:
        """Remove an object, if there is one. Durable.

        Raises:
            StoreError: it cannot be removed now, or is locked.
        """

    def names(self, prefix: str) -> list[str]:
        """The names that begin with this, which ends in a slash; in order.

        Raises:
            StoreError: they cannot be listed now.
        """

    def place(self, name: str) -> str:
        """Say for people where an object is."""


def open_store(url: str, settings: Archive, *, make: bool = False) -> Store:
    """The store of a folder's path or of an `s3://` URL.

    Args:
        url: either.
        settings: how to reach a bucket.
        make: make a folder that is not there; a bucket is never made.

    Raises:
        StoreError: the URL or the end point cannot be used.
        OSError: the folder cannot be made.
    """
    if urlsplit(url).scheme == S3_SCHEME:
        return BucketStore(url, settings)
    return FolderStore(Path(url), make=make)


class _ObjectStore:
    """What folders and buckets have in common; `_root` is how people name it."""

    def __init__(self, store: LocalStore | S3Store | None, root: str) -> None:
        self._store = store
        self._root = root.rstrip("/")

    def put_new(self, name: str, data: bytes) -> bool:
        """Store an object; see `Store`."""
        if self._store is None:
            raise StoreError(f"{self._root}: there is no such folder")
        try:
            obstore.put(self._store, name, data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise _cannot("store", self.place(name), error) from error
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

    def remove(self, name: str) -> None:
        """Remove an object; see `Store`."""
        if self._store is None:
            return
        try:
            obstore.delete(self._store, name)
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise _cannot("remove", self.place(name), error) from error

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
        """Path or URL."""
        return f"{self._root}/{name}"


class FolderStore(_ObjectStore):
    """A folder on this machine.

    Args:
        folder: where.
        make: make it if it is not there; otherwise it is as if it were empty.
    """

    def __init__(self, folder: Path, *, make: bool = False) -> None:
        if make:
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        self._folder = folder
        super().__init__(LocalStore(folder) if folder.is_dir() else None, str(folder))

    def put_new(self, name: str, data: bytes) -> bool:
        """Store an object; see `Store`. Whoever put it there before may have died before a sync."""
        is_new = super().put_new(name, data)
        self._settle(name)
        return is_new

    def remove(self, name: str) -> None:
        """Remove an object; see `Store`."""
        super().remove(name)
        folder = (self._folder / name).parent
        try:
            if folder.is_dir():
                sync_folder(folder)
        except OSError as error:
            raise _cannot("remove", str(folder), error) from error

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


class BucketStore(_ObjectStore):
    """A bucket, or what is under a prefix of one. Credentials are those of the environment.

    Args:
        url: `s3://bucket` or `s3://bucket/prefix`.
        settings: end point, region, and how long to try.
    """

    def __init__(self, url: str, settings: Archive) -> None:
        parts = urlsplit(url)
        if not parts.netloc or parts.query or parts.fragment:
            raise StoreError(f"{url} is not s3://bucket/prefix")
        store = S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config={
                "region": settings.s3_region or os.environ.get("AWS_REGION") or _DEFAULT_REGION,
                **({"endpoint": settings.s3_endpoint} if settings.s3_endpoint else {}),
            },
            client_options={
                "timeout": timedelta(seconds=settings.s3_timeout_s),
                "allow_http": _may_be_plain(settings.s3_endpoint),
            },
            retry_config={
                "max_retries": settings.s3_retries,
                "retry_timeout": timedelta(seconds=settings.s3_timeout_s),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=1),
                    "base": 2,
                },
            },
        )
        super().__init__(store, url)


def _may_be_plain(endpoint: str) -> bool:
    """Whether an end point may be spoken to without TLS: on this machine only.

    Raises:
        StoreError: it is none.
    """
    parts = urlsplit(endpoint)
    if endpoint and parts.scheme not in {"http", "https"}:
        raise StoreError(f"archive.s3_endpoint: {endpoint} is not https://host:port")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise StoreError(f"archive.s3_endpoint: {endpoint} is another machine: it needs https")
    return parts.scheme == "http"


def _cannot(verb: str, place: str, error: Exception) -> StoreError:
    """The first line of what a store says; the lines behind it are its own debugging."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return StoreError(f"cannot {verb} {place}: {reason}")
