"""Files that hold keys appear whole and closed to others, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.private_files import write_private


def test_a_file_is_replaced_and_private(tmp_path: Path) -> None:
    """Whatever the mode of what was there before; nothing else is left behind."""
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """The temporary file goes too."""
    path = tmp_path / "key"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_private(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
