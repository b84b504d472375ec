"""The wall clock and its offset."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis import clock

HOUR_US = 3_600_000_000
MARGIN_US = 60_000_000  # a slow machine; no step here is as small


@pytest.fixture
def offset_file(tmp_path: Path) -> Iterator[Path]:
    """A file that this process's clock follows during the test."""
    path = tmp_path / "offset"
    clock.write_offset(path, 0)
    clock.follow_offset(path)
    yield path
    clock._SHARED.offset_us = None


def _ahead_us() -> int:
    return clock.now_us() - time.time_ns() // 1_000


def test_without_an_offset_it_is_the_machines_clock() -> None:
    """In whole microseconds, and as seconds."""
    before_us = time.time_ns() // 1_000
    assert before_us <= clock.now_us() <= clock.now_s() * 1e6 + 1e6
    assert abs(_ahead_us()) < MARGIN_US


@pytest.mark.parametrize("step_us", [HOUR_US, -HOUR_US])
def test_writing_the_file_steps_the_clock(offset_file: Path, step_us: int) -> None:
    """Forward and back, at once, and back to the machine's."""
    clock.write_offset(offset_file, step_us)
    assert abs(_ahead_us() - step_us) < MARGIN_US
    clock.write_offset(offset_file, 0)
    assert abs(_ahead_us()) < MARGIN_US


@pytest.mark.parametrize("step_us", [HOUR_US, -HOUR_US])
def test_a_steady_clock_begins_with_the_wall_and_follows_no_step(
    offset_file: Path, step_us: int
) -> None:
    """It is set once, when it is made, and goes on as the machine's boot clock does."""
    steady_us = clock.SteadyClock()
    assert abs(steady_us() - clock.now_us()) < MARGIN_US
    clock.write_offset(offset_file, step_us)
    assert abs(clock.now_us() - step_us - steady_us()) < MARGIN_US
    assert abs(clock.SteadyClock()() - clock.now_us()) < MARGIN_US


def test_a_steady_clock_goes_on_by_the_boot_clock() -> None:
    """Microsecond for microsecond, whatever the wall says meanwhile."""
    boot_s = 1_000.0
    wall_us = 7_000_000
    steady_us = clock.SteadyClock(lambda: wall_us, lambda: boot_s)
    boot_s, wall_us = 1_002.5, 1
    assert steady_us() == 9_500_000


def test_another_process_follows_too(offset_file: Path) -> None:
    """Both have the file mapped, so one write steps both."""
    clock.write_offset(offset_file, HOUR_US)
    program = (
        "import sys, pathlib; from chassis import clock;"
        "clock.follow_offset(pathlib.Path(sys.argv[1])); print(clock.now_us())"
    )
    command = [sys.executable, "-c", program, str(offset_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert abs(int(done.stdout) - clock.now_us()) < MARGIN_US


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    """It is named, and the clock stays the machine's."""
    path = tmp_path / "offset"
    path.write_bytes(b"3600")
    with pytest.raises(ValueError, match="offset: must hold 8 bytes"):
        clock.follow_offset(path)
    assert clock._SHARED.offset_us is None


def test_the_clock_of_leases_runs_on_and_follows_no_offset(offset_file: Path) -> None:
    """It never lies behind the monotonic clock, which sleeps when the machine does."""
    first_s = clock.boot_s()
    clock.write_offset(offset_file, -HOUR_US)
    assert first_s <= clock.boot_s() < first_s + 60
    assert clock.boot_s() >= time.monotonic() - 0.001
