"""Level files on a real file system: what is kept, cut, sealed, and what a short file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.audit.level_files import HASHES_PER_FILE, LevelFileError, LevelFiles
from ledger.audit.merkle import leaf_hash

HASHES = [leaf_hash(number.to_bytes(2, "big")) for number in range(600)]


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    """By the writer before a sync, and by another reader."""
    with LevelFiles(tmp_path) as writer, LevelFiles(tmp_path) as reader:
        writer.append(0, 0, HASHES[:300])
        writer.append(0, 300, HASHES[300:])
        assert writer.read(0, 299, 2) == HASHES[299:301]
        writer.sync()
        assert reader.read(0, 0, 600) == HASHES


def test_lists_go_on_in_the_next_file_and_full_ones_are_sealed(tmp_path: Path) -> None:
    """Over the border between two files, written and read in one go."""
    border = HASHES_PER_FILE
    with LevelFiles(tmp_path) as files:
        files.append(1, border - 300, HASHES)
        files.sync()
        assert files.read(1, border - 300, 600) == HASHES
        first, second = files.path(1, border - 1), files.path(1, border)
    assert (first.name, second.name) == (f"{0:020d}.hashes", f"{border:020d}.hashes")
    assert (first.stat().st_mode & 0o777, second.stat().st_mode & 0o777) == (0o444, 0o644)


def test_what_was_never_signed_is_cut_off(tmp_path: Path) -> None:
    """At every level what stands behind the tree goes, and what belongs to it stays."""
    with LevelFiles(tmp_path) as files:
        files.append(0, 0, HASHES)
        files.append(1, 0, HASHES[:2])
        files.sync()
        files.cut(300)
        assert files.read(0, 0, 300) == HASHES[:300]
        assert files.read(1, 0, 1) == HASHES[:1]
        with pytest.raises(LevelFileError, match=r"0{20}\.hashes ends at byte 9600"):
            files.read(0, 299, 2)
        with pytest.raises(LevelFileError, match=r"1/0{20}\.hashes ends at byte 32"):
            files.read(1, 1, 1)
        files.append(0, 300, HASHES[300:])
        assert files.read(0, 0, 600) == HASHES


def test_a_sealed_file_can_be_cut_too(tmp_path: Path) -> None:
    """A crash between the seal and the signature leaves one behind the tree."""
    with LevelFiles(tmp_path) as files:
        files.append(0, HASHES_PER_FILE - 2, HASHES[:2])
        files.sync()
        files.cut(HASHES_PER_FILE - 1)
        files.append(0, HASHES_PER_FILE - 1, HASHES[5:6])
        assert files.read(0, HASHES_PER_FILE - 2, 2) == [HASHES[0], HASHES[5]]


def test_a_level_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With its file."""
    with LevelFiles(tmp_path) as files, pytest.raises(LevelFileError, match=r"3/0{20}\.hashes"):
        files.read(3, 0, 1)
