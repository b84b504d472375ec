"""Crash points end the process that reaches them, once, and only where they are armed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chassis import crash_points
from chassis.crash_points import AFTER_COMMIT_1, BEFORE_COMMIT_1, NAME_BYTES, POINTS

PASSES_THROUGH = """
import sys
from pathlib import Path
from chassis.crash_points import follow_arming, reach
follow_arming(Path(sys.argv[1]))
for point in sys.argv[2:]:
    reach(point)
    print(point, flush=True)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in which nothing is armed."""
    path = tmp_path / "crash-point"
    crash_points.disarm(path)
    return path


def _pass_through(file: Path, *points: str) -> tuple[int, list[str]]:
    """Exit status of a process that goes through points, and those it came past."""
    done = subprocess.run(
        [sys.executable, "-c", PASSES_THROUGH, str(file), *points],
        check=False,
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    return done.returncode, done.stdout.split()


def test_a_process_dies_at_the_armed_point_and_its_successor_passes(file: Path) -> None:
    """By SIGKILL, at that step and no other, and only once."""
    crash_points.arm(file, AFTER_COMMIT_1)
    assert crash_points.is_armed(file)
    steps = (BEFORE_COMMIT_1, AFTER_COMMIT_1)
    assert _pass_through(file, *steps) == (-signal.SIGKILL, [BEFORE_COMMIT_1])
    assert not crash_points.is_armed(file)
    assert _pass_through(file, *steps) == (0, list(steps))


def test_nothing_happens_where_nothing_is_armed(file: Path) -> None:
    """Every point is passed; so it is when an armed one was taken back."""
    crash_points.arm(file, AFTER_COMMIT_1)
    crash_points.disarm(file)
    assert _pass_through(file, *POINTS) == (0, list(POINTS))


def test_without_a_file_a_point_is_nothing() -> None:
    """As in every process that serves."""
    for point in POINTS:
        crash_points.reach(point)


def test_a_point_that_does_not_exist_cannot_be_armed(file: Path) -> None:
    """A test that would wait for it in vain is told so."""
    with pytest.raises(ValueError, match="'tomorrow' is no crash point: before_commit_1"):
        crash_points.arm(file, "tomorrow")
    assert not crash_points.is_armed(file)


def test_a_file_of_another_size_is_refused(file: Path) -> None:
    """It is not one of ours."""
    file.write_bytes(bytes(NAME_BYTES + 1))
    with pytest.raises(ValueError, match="must hold 32 bytes"):
        crash_points.follow_arming(file)


def test_all_names_fit() -> None:
    """Each is unique, and shorter than the file."""
    assert len({name[:NAME_BYTES] for name in POINTS}) == len(POINTS)
    assert max(map(len, POINTS)) < NAME_BYTES
