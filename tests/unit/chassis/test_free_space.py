"""The watch over free disk space."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from chassis.free_space import LOOK_S, FreeSpace


def test_room_is_what_an_unprivileged_user_may_use(tmp_path: Path) -> None:
    """Blocks kept for root do not count."""
    status = os.statvfs(tmp_path)
    space = FreeSpace([tmp_path], bytes_min=0)
    assert space.free_bytes <= status.f_bfree * status.f_frsize
    assert not space.scarce


def test_the_watermark_itself_is_enough() -> None:
    """Scarce is below it."""
    # procfs has no blocks, so its free space does not move meanwhile
    assert not FreeSpace([Path("/proc")], bytes_min=0).scarce
    assert FreeSpace([Path("/proc")], bytes_min=1).scarce


def test_the_fullest_file_system_counts(tmp_path: Path) -> None:
    """Room on one disk does not help the other."""
    assert FreeSpace([tmp_path, Path("/proc")], bytes_min=1).scarce


def test_a_place_that_is_gone_counts_as_full(tmp_path: Path) -> None:
    """Unmounted, or failing: nothing can be recorded there."""
    place = tmp_path / "disk"
    place.mkdir()
    space = FreeSpace([place], bytes_min=1)
    assert not space.scarce
    place.rmdir()
    space.look()
    assert (space.scarce, space.free_bytes) == (True, 0)


def test_without_a_place_there_is_nothing_to_watch() -> None:
    """That would be a watch that never warns."""
    with pytest.raises(ValueError, match="a place"):
        FreeSpace([], bytes_min=1)


async def test_the_watch_tells_every_second(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """At once, and after each look."""
    told: list[bool] = []
    place = tmp_path / "disk"
    place.mkdir()
    nursery.start_soon(FreeSpace([place], bytes_min=1).watch, told.append)
    await trio.sleep(LOOK_S * 1.5)
    place.rmdir()
    await trio.sleep(LOOK_S)
    place.mkdir()
    await trio.sleep(LOOK_S)
    assert told == [False, False, True, False]
