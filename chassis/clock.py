"""The wall clock, and the clock of leases, read in one place.

Theory of operation. What needs the time of day asks `now_us` or `now_s`; what measures how long
something takes asks a monotonic clock, never this one. Wall clocks step: a time server corrects
them, an operator sets them, a virtual machine wakes up. So that the whole product can be seen
through a step without touching the machine's clock, test mode may add an offset to it. The offset
stands in a file of eight bytes that every process maps into its memory: writing there steps all
their clocks at the same instant, and costs no process a system call.

A lease runs out while the machine sleeps, and `time.monotonic` sleeps with it: leases ask `boot_s`.

What is written down as an instant and meant as a wait (a repeat in five seconds, a window of half a
minute) asks a `SteadyClock`: an hour's step must neither hold it up for an hour nor end it at once.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
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


class SteadyClock:
    """The wall clock as if nobody had set it since this object was made; called, it gives it.

    Microseconds since 1970, never going back, and going on while the machine sleeps. Two of them,
    made on either side of a step, differ by it: instants of one are compared with those of another
    with care (ADR 0017).

    Args:
        now_us: the wall clock, read once.
        boot_s: the clock that goes on from there.
    """

    __slots__ = ("_boot_s", "_booted_at_us")

    def __init__(
        self, now_us: Callable[[], int] = now_us, boot_s: Callable[[], float] = boot_s
    ) -> None:
        self._boot_s = boot_s
        self._booted_at_us = now_us() - int(boot_s() * 1_000_000)

    def __call__(self) -> int:
        """Microseconds since 1970."""
        return self._booted_at_us + int(self._boot_s() * 1_000_000)


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
