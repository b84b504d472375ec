"""The wall clock, and the clock of leases, read in one place.

Theory of operation. What needs the time of day asks `now_us` or `now_s`; what measures how long
something takes asks a monotonic clock, never this one. Wall clocks step: a time server corrects
them, an operator sets them, a virtual machine wakes up. So that the whole product can be seen
through a step without touching the machine's clock, test mode may add an offset to it. The offset
stands in a file of eight bytes that every process maps into its memory: writing there steps all
their clocks at the same instant, and costs no process a system call.

A lease runs out while the machine sleeps, and `time.monotonic` sleeps with it: leases ask `boot_s`.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Final

OFFSET_BYTES: Final = 8
# Linux' monotonic clock stands still during suspend; others' goes on, and they have no other.
_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_FORMAT: Final = "q"  # a signed 64-bit integer in the machine's own order: aligned, so never torn


class _Shared:
    __slots__ = ("offset_us",)

    def __init__(self) -> None:
        self.offset_us: memoryview | None = None


_SHARED: Final = _Shared()


def now_us() -> int:
    """The wall clock: microseconds since 1970."""
    offset_us = _SHARED.offset_us
    if offset_us is None:
        return time.time_ns() // 1_000
    return time.time_ns() // 1_000 + int(offset_us[0])


def now_s() -> float:
    """The wall clock: seconds since 1970."""
    return now_us() / 1_000_000


def boot_s() -> float:
    """Seconds since the machine was started, asleep or not; nobody can set this clock."""
    return time.clock_gettime(_BOOT_CLOCK)


def follow_offset(path: Path) -> None:
    """Add to this process's clock what stands in a file, now and whenever it changes.

    Raises:
        OSError: it cannot be read.
        ValueError: it does not hold `OFFSET_BYTES`.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != OFFSET_BYTES:
            raise ValueError(f"{path}: must hold {OFFSET_BYTES} bytes")
        mapped = mmap.mmap(file.fileno(), OFFSET_BYTES, access=mmap.ACCESS_READ)
    _SHARED.offset_us = memoryview(mapped).cast(_FORMAT)


def write_offset(path: Path, offset_us: int) -> None:
    """Step the clocks that follow a file; made if it does not exist.

    Args:
        path: what the processes follow.
        offset_us: microseconds to add to the machine's clock; negative = our clocks are behind.

    Raises:
        OSError: it cannot be written.
    """
    # Never truncated: that would take the ground from under those who have it mapped.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, struct.pack(_FORMAT, offset_us), 0)
    finally:
        os.close(descriptor)
