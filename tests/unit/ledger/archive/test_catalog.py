"""The catalog keeps whole lines, and only those."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.archive.catalog import Entry, add_entry, archived, make_work_folder, read_catalog
from ledger.archive.errors import ArchiveError

FIRST = Entry("archived", 0, 10, 1, "00" * 32)
SECOND = Entry("archived", 10, 30, 2, "11" * 32)


def test_steps_are_read_as_they_were_noted(tmp_path: Path) -> None:
    """A step that was noted is there for the next run."""
    folder = make_work_folder(tmp_path, 0)
    assert read_catalog(folder) == []
    add_entry(folder, FIRST)
    add_entry(folder, SECOND)
    assert read_catalog(folder) == [FIRST, SECOND]
    assert archived(read_catalog(folder)) == {0: FIRST, 10: SECOND}


def test_a_line_that_a_crash_tore_is_cut_off(tmp_path: Path) -> None:
    """Half a line does not count, and what comes after it stands on a line of its own."""
    folder = make_work_folder(tmp_path, 0)
    add_entry(folder, FIRST)
    path = folder / "catalog.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step":"arch')
    assert read_catalog(folder) == [FIRST]
    add_entry(folder, SECOND)
    assert read_catalog(folder) == [FIRST, SECOND]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """A whole line that is none stops whoever reads, by its number."""
    folder = make_work_folder(tmp_path, 0)
    add_entry(folder, FIRST)
    path = folder / "catalog.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(ArchiveError, match="line 1 is damaged"):
        read_catalog(folder)
