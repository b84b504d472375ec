"""Waiting for a file to be written to, as the kernel tells it (inotify(7)).

Python's standard library has no inotify, so its two calls are made through ctypes. Where the kernel
refuses a watch (a limit of watches per user, a file system without them) the wait becomes a short
sleep, which costs a little and loses nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Final

import trio

from chassis.log import get_logger

IN_MODIFY: Final = 0x0000_0002
_POLL_S: Final = 0.01  # without a watch; half of what an idle reader may take to notice
_EVENTS_BYTES: Final = 4_096

_libc = ctypes.CDLL(None, use_errno=True)
_log = get_logger(__name__)


class FileWatch:
    """Tells when a file was modified since the last `settle`."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = _watch(path)
        if self._descriptor is None:
            _log.warning("no watch on a file, it is polled", file=path.name, poll_s=_POLL_S)

    def settle(self) -> None:
        """Forget what happened so far; look at the file after this, not before."""
        if self._descriptor is not None:
            with contextlib.suppress(BlockingIOError):
                while len(os.read(self._descriptor, _EVENTS_BYTES)) == _EVENTS_BYTES:
                    pass

    async def changed(self) -> None:
        """Wait until the file was written to after `settle`, or perhaps was."""
        if self._descriptor is None:
            await trio.sleep(_POLL_S)
        else:
            await trio.lowlevel.wait_readable(self._descriptor)

    def close(self) -> None:
        """Take the watch away."""
        if self._descriptor is not None:
            trio.lowlevel.notify_closing(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def _watch(path: Path) -> int | None:
    descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor == -1:
        return None
    if _libc.inotify_add_watch(descriptor, os.fsencode(path), IN_MODIFY) == -1:
        os.close(descriptor)
        return None
    return int(descriptor)
