"""Files that are there whole: replacement, privacy, locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import pytest

from chassis.durable import locked, temporary_name, write_durably


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    """A reader with the old file open keeps the old content; no temporary file stays."""
    path = tmp_path / "keys.json"
    write_durably(path, b"old", mode=0o644)
    assert path.stat().st_mode & 0o777 == 0o644
    with path.open("rb") as reader:
        write_durably(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A target that cannot be replaced stays, and the half-done file is removed."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").touch()
    with pytest.raises(OSError, match="directory"):
        write_durably(tmp_path / "taken", b"data")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


def test_the_left_over_of_a_crash_is_overwritten(tmp_path: Path) -> None:
    """What a dead process of the same number half wrote, even world-readable, does no harm."""
    left_over = temporary_name(tmp_path / "keys.json")
    left_over.write_bytes(b"half of a much longer content")
    left_over.chmod(0o644)
    write_durably(tmp_path / "keys.json", b"whole")
    assert (tmp_path / "keys.json").read_bytes() == b"whole"
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]


def test_a_link_in_the_temporary_files_place_is_refused(tmp_path: Path) -> None:
    """What was planted under the temporary name is not followed."""
    temporary_name(tmp_path / "keys.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        write_durably(tmp_path / "keys.json", b"secret")
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_keeps_others_out(tmp_path: Path) -> None:
    """Another opener gets the lock when this one lets go, not before, also after an exception."""
    other = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    with contextlib.suppress(RuntimeError), locked(tmp_path / "lock"):
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise RuntimeError("inside")
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
