"""Whether the disks that must keep what we accept have room; looked at once a second.

Theory of operation. A full disk is worse than a busy one: Postgres cannot end what it has begun
and may stop altogether. So intake sheds at a watermark well above zero, and what lies below it is
ballast for the payments that are already inside. The look is one statvfs(2) a file system, whose
answer the kernel has at hand. A place that cannot be looked at counts as full.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Never

import trio

from chassis.log import get_logger

LOOK_S: Final = 1.0  # a disk that fills at 250 MB/s uses up the default ballast in this time

_log = get_logger(__name__)


class FreeSpace:
    """Room on the file systems that hold some places.

    Args:
        places: files or folders, one at least.
        bytes_min: what each file system must have free for unprivileged users.

    Attributes:
        free_bytes: at the last look, of the fullest file system.
        scarce: whether that was too little.
    """

    def __init__(self, places: Sequence[Path], *, bytes_min: int) -> None:
        if not places:
            raise ValueError("a place to look at is needed")
        self._places = places
        self._bytes_min = bytes_min
        self.scarce = False
        self.free_bytes = 0
        self.look()

    def look(self) -> None:
        """Look once; a change is logged."""
        free_bytes, place = min((_free_bytes(place), place) for place in self._places)
        scarce = free_bytes < self._bytes_min
        if scarce and not self.scarce:
            _log.error("disk full: nothing new is taken", place=str(place), free_bytes=free_bytes)
        elif self.scarce and not scarce:
            _log.warning("disk has room again", free_bytes=free_bytes)
        self.free_bytes = free_bytes
        self.scarce = scarce

    async def watch(self, tell: Callable[[bool], None]) -> Never:
        """Look once a second until canceled; `tell` hears each time whether room is scarce."""
        while True:
            tell(self.scarce)
            await trio.sleep(LOOK_S)
            self.look()


def _free_bytes(place: Path) -> int:
    try:
        status = os.statvfs(place)
    except OSError as error:
        _log.error("free space unknown", place=str(place), reason=error.strerror)
        return 0
    return status.f_bavail * status.f_frsize
