"""Comparing two streams while they grow: what is told, and how soon."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import structlog
from attrs import define

from chassis.settings.tree import Relay
from ledger.comparison.position import COMPARISON_FOLDER
from ledger.comparison.watch import SAVE_S, Watch
from ledger.stream.segments.files import shard_folder
from tests.support.comparing import first_start, wal, write


@define
class _Watched:
    folder: Path
    now_s: float = 100.0

    def watch(self, **changes: Any) -> Watch:
        return Watch(
            data_dir=self.folder,
            first=shard_folder(self.folder / "first", 0),
            second=shard_folder(self.folder / "second", 0),
            limits=Relay(**changes),
            now_s=lambda: self.now_s,
        )

    async def both(self, *batches: Any) -> None:
        for name in ("first", "second"):
            await write(self.folder / name, *batches)


@pytest.fixture
def watched(tmp_path: Path) -> _Watched:
    """Two streams with ten records each to be written, and a clock."""
    (tmp_path / COMPARISON_FOLDER).mkdir()
    return _Watched(tmp_path)


def _events(told: list[Any], level: str) -> list[str]:
    return [one["event"] for one in told if one["log_level"] == level]


async def test_a_difference_is_told_with_all_that_names_it(watched: _Watched) -> None:
    """At the first look after it is there, and once."""
    await watched.both(*first_start(), wal(0, 10))
    watch = watched.watch()
    with structlog.testing.capture_logs() as told:
        watch.look()
        await write(watched.folder / "first", wal(10, 3))
        await write(watched.folder / "second", wal(11, 2))
        watch.look()
        watch.look()
    (alert,) = (one for one in told if one["log_level"] == "critical")
    assert alert["event"] == "streams_differ"
    assert alert["kind"] == "only_first"
    assert alert["row"].startswith("outcomes intent_id=")
    assert alert["lsn"] == "0/2C0"
    assert alert["first"].startswith(str(watch.first))
    assert alert["second"].startswith(str(watch.second))
    assert watch.differences_total == 1
    watch.close()


async def test_a_side_that_does_not_come_is_told_and_so_is_its_return(watched: _Watched) -> None:
    """Past the limit, with the name of the late one; nothing is a difference yet."""
    await watched.both(*first_start(), wal(0, 10))
    await write(watched.folder / "first", wal(10, 3))
    watch = watched.watch(compare_alarm_s=10.0)
    with structlog.testing.capture_logs() as told:
        watch.look()
        watched.now_s += 9.9
        watch.look()
        assert not watch.alarmed
        watched.now_s += 0.2
        watch.look()
        assert watch.alarmed
        watched.now_s += 1.0
        watch.look()
        await write(watched.folder / "second", wal(10, 3))
        watch.look()
        assert not watch.alarmed
    assert _events(told, "error") == ["streams_not_compared"]
    (one,) = (one for one in told if one["event"] == "streams_not_compared")
    assert one["waits_for"] == "second"
    assert _events(told, "warning") == ["streams_compared_again"]
    assert watch.differences_total == 0
    watch.close()


async def test_streams_at_rest_wait_for_nothing(watched: _Watched) -> None:
    """An idle night is no alarm."""
    await watched.both(*first_start(), wal(0, 10))
    watch = watched.watch()
    for _ in range(3):
        watch.look()
        watched.now_s += 1_000
    assert (watch.waiting_s, watch.alarmed) == (0.0, False)
    watch.close()


async def test_the_next_process_goes_on_there(watched: _Watched) -> None:
    """The position is kept every few seconds, and when it drains."""
    await watched.both(*first_start(), wal(0, 10))
    watch = watched.watch()
    watch.look()
    await watched.both(wal(10, 5))
    watched.now_s += SAVE_S
    watch.look()
    watch.close()
    again = watched.watch()
    again.look()
    assert again.comparison is not None
    assert again.comparison.leaves == 0
    assert not again.comparison.late_side()
    again.close()


async def test_a_stream_that_is_replaced_is_compared_anew(watched: _Watched) -> None:
    """The files that are open are another stream's by then."""
    await watched.both(*first_start(), wal(0, 10))
    watch = watched.watch()
    watch.look()
    shutil.rmtree(watched.folder / "second")
    await write(watched.folder / "second", *first_start(range(10), up_to=9), wal(10, 2))
    await write(watched.folder / "first", wal(10, 2))
    watch.look()
    watch.look()
    assert watch.comparison is not None
    assert (watch.comparison.leaves, watch.comparison.differences) == (2, [])
    watch.close()


async def test_streams_that_cannot_be_read_are_told_once(watched: _Watched) -> None:
    """It goes on looking; somebody may put it right."""
    await watched.both(*first_start(), wal(0, 10))
    high_water = watched.folder / "second" / "stream" / "0" / "high-water"
    right = high_water.read_bytes()
    high_water.write_bytes(b"x" * len(right))
    watch = watched.watch()
    with structlog.testing.capture_logs() as told:
        watch.look()
        watch.look()
    assert len(_events(told, "critical") + _events(told, "error")) == 1
    high_water.write_bytes(right)
    watch.look()
    assert watch.comparison is not None
    assert watch.comparison.leaves == 10
    watch.close()


async def test_a_folder_that_is_closed_is_told_and_waited_for(watched: _Watched) -> None:
    """Another user's, for one: the process lives, and alarms when it has lasted."""
    await watched.both(*first_start(), wal(0, 10))
    elsewhere = watched.folder / "second" / "stream"
    (elsewhere / "0").rename(elsewhere / "away")
    (elsewhere / "0").write_bytes(b"no folder")
    watch = watched.watch(compare_alarm_s=10.0)
    with structlog.testing.capture_logs() as told:
        watch.look()
        watched.now_s += 10.0
        watch.look()
    assert _events(told, "error") == ["streams cannot be compared", "streams_not_compared"]
    assert watch.alarmed
    watch.close()


async def test_what_was_found_is_told_although_nothing_can_be_read(watched: _Watched) -> None:
    """A process that cannot begin knows of differences, and does not say that there are none."""
    await watched.both(*first_start(), wal(0, 10))
    await write(watched.folder / "first", wal(10, 3))
    await write(watched.folder / "second", wal(11, 2))
    watch = watched.watch()
    watch.look()
    watch.close()
    high_water = watched.folder / "second" / "stream" / "0" / "high-water"
    high_water.write_bytes(b"x" * high_water.stat().st_size)
    again = watched.watch()
    again.look()
    assert (again.comparison, again.differences_total) == (None, 1)
    again.close()
