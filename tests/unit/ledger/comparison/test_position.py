"""What the comparer keeps: where it goes on, and what it had found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ledger.comparison.comparing import Comparison
from ledger.comparison.differences import ONLY_FIRST
from ledger.comparison.position import COMPARISON_FOLDER, begin, load, position_of, save
from ledger.stream.backend import Batch
from ledger.stream.segments.files import shard_folder
from tests.support.comparing import compare, first_start, mark, proceed, repair, wal, write


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Of the first and of the second stream; a place for the position beside them."""
    (tmp_path / COMPARISON_FOLDER).mkdir()
    return tmp_path / "first", tmp_path / "second"


def _go_on(folders: tuple[Path, Path], data_dir: Path) -> Comparison:
    first, second = (shard_folder(folder, 0) for folder in folders)
    comparison = begin(first, second, 0, load(data_dir))
    proceed(comparison)
    return comparison


def _keep(comparison: Comparison, data_dir: Path) -> None:
    position = position_of(comparison)
    assert position is not None
    save(data_dir, position)


@pytest.mark.parametrize("size", [1, 7, 30])
async def test_another_process_goes_on_where_one_has_come_to(
    folders: tuple[Path, Path], tmp_path: Path, size: int
) -> None:
    """Also in the middle of a batch of one side, and where there is nothing new yet."""
    first, second = folders
    await write(first, *first_start(), wal(0, 30), wal(30, 30))
    await write(second, *first_start(), *(wal(n, size) for n in range(0, 60 - size, size)))
    found = compare(first, second)
    already = found.leaves
    _keep(found, tmp_path)
    nothing_new = _go_on(folders, tmp_path)
    assert (nothing_new.leaves, nothing_new.differences) == (0, [])
    assert nothing_new.late_side() == "second"
    await write(second, wal(already, 60 - already))
    rest = _go_on(folders, tmp_path)
    assert (rest.leaves, rest.differences) == (60 - already, [])
    assert rest.late_side() == ""


async def test_what_was_found_is_known_after_a_restart(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The streams still differ, however often somebody starts to compare them."""
    first, second = folders
    await write(first, *first_start(), wal(0, 20))
    await write(second, *first_start(), wal(0, 10), wal(11, 9))
    found = compare(first, second)
    _keep(found, tmp_path)
    again = _go_on(folders, tmp_path)
    assert again.differences == found.differences
    assert [one.kind for one in again.differences] == [ONLY_FIRST]
    assert again.leaves == 0


async def test_another_stream_is_compared_from_its_beginning(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """What was found between two others says nothing of it."""
    first, second = folders
    await write(first, *first_start(), wal(0, 20))
    await write(second, *first_start(), wal(0, 10), wal(11, 9))
    _keep(compare(first, second), tmp_path)
    shutil.rmtree(second)
    await write(second, *first_start(range(15), up_to=14), wal(15, 5))
    found = _go_on(folders, tmp_path)
    assert (found.leaves, found.differences, found.gaps_total) == (5, [], 1)


async def test_rows_are_named_although_their_description_stands_before_the_position(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """A segment describes each table once."""
    first, second = folders
    for folder in folders:
        await write(folder, *first_start(), wal(0, 20))
    _keep(compare(first, second), tmp_path)
    await write(first, wal(20, 5))
    await write(second, wal(20, 3), Batch([], [], mark(64 * 26)))
    found = _go_on(folders, tmp_path)
    assert [one.row.split("=")[0] for one in found.differences] == ["outcomes intent_id"] * 2


async def test_no_position_is_kept_between_two_ranges(folders: tuple[Path, Path]) -> None:
    """What a gap brings is compared as a whole."""
    first, second = folders
    await write(first, *first_start(), wal(0, 10))
    await write(second, *first_start(), wal(0, 10), *repair([10], up_to=10, old_lsn=672)[:1])
    found = compare(first, second)
    await write(first, wal(10, 5))
    proceed(found)
    assert position_of(found) is None


def test_a_position_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """The comparison begins anew; nothing depends on this file."""
    assert load(tmp_path) is None
    folder = tmp_path / COMPARISON_FOLDER
    folder.mkdir()
    (folder / "position.json").write_text('{"first": 7')
    assert load(tmp_path) is None
