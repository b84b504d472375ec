"""A folder as a store: objects are there whole or not at all, once, and read-only."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from chassis.settings.archive import Archive
from ledger.archive.errors import StoreError
from ledger.archive.store import FolderStore, open_store

DATA = b"z" * 10_000


def test_an_object_is_stored_once_for_its_owner_alone(tmp_path: Path) -> None:
    """The second to store an object is told so; what is there is read-only, and stays."""
    store = open_store(str(tmp_path / "archive"), Archive(), make=True)
    assert store.put_new("0/a/b", DATA)
    assert not store.put_new("0/a/b", b"other")
    assert store.get("0/a/b") == DATA
    assert store.names("0/") == ["0/a/b"]
    path = Path(store.place("0/a/b"))
    assert path.stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "archive").stat().st_mode & 0o777 == 0o700


def test_a_full_disk_leaves_no_part_of_an_object(tmp_path: Path) -> None:
    """Where a file cannot grow nothing is stored; when it can again, everything is."""
    store = FolderStore(tmp_path / "archive", make=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))
    try:
        with pytest.raises(StoreError, match="cannot store"):
            store.put_new("0/a", DATA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (store.names("0/"), store.get("0/a")) == ([], None)
    assert store.put_new("0/a", DATA)
    assert store.get("0/a") == DATA


def test_a_folder_that_is_not_there_is_empty_and_takes_nothing(tmp_path: Path) -> None:
    """Reading makes no folder, and nothing is stored where none was made."""
    store = FolderStore(tmp_path / "archive")
    assert (store.names("0/"), store.get("0/a")) == ([], None)
    with pytest.raises(StoreError, match="no such folder"):
        store.put_new("0/a", DATA)
    assert not (tmp_path / "archive").exists()
