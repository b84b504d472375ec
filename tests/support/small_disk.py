"""A whole stack whose data directory is a small file system of its own, to be filled by a file.

The file system is mounted in a private mount namespace, so nothing of it is seen, or left, outside;
the test looks at it through `/proc/<pid>/root` of the stack's supervisor.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import trio

from stack.endpoints import NotRunningError, read_endpoints
from stack.temporary import TemporaryStack

READY_WITHIN_S: Final = 60.0
GONE_WITHIN_S: Final = 60.0
_CHUNK: Final = bytes(1_048_576)
_MOUNT: Final = 'mount -t tmpfs -o "size=$1,mode=0711" turnout "$2" && shift 2 && exec "$@"'


@asynccontextmanager
async def stack_on_small_disk(
    folder: Path, size_bytes: int, overrides: Mapping[str, str]
) -> AsyncIterator[TemporaryStack]:
    """Run a stack on `<folder>/data`, a file system of so many bytes. Needs root."""
    data_dir, log_file = folder / "data", folder / "up.log"
    data_dir.mkdir()
    command = ["unshare", "--mount", "--propagation", "private"]
    command += ["sh", "-c", _MOUNT, "mount", str(size_bytes), str(data_dir)]
    command += [sys.executable, "-P", "-m", "turnout", "up", "--free-ports"]
    command += ["--data-dir", str(data_dir)]
    for key, value in overrides.items():
        command += ["--set", f"{key}={value}"]
    with log_file.open("wb") as log:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )
    seen = Path(f"/proc/{process.pid}/root{data_dir}")
    try:
        with trio.fail_after(READY_WITHIN_S):
            endpoints = None
            while endpoints is None:
                assert process.poll() is None, log_file.read_text()
                try:
                    endpoints = read_endpoints(seen)
                except NotRunningError:
                    await trio.sleep(0.02)
        stack = TemporaryStack(
            data_dir=seen, endpoints=endpoints, process_id=process.pid, log_file=log_file
        )
        yield stack
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with trio.move_on_after(GONE_WITHIN_S):
                    await process.wait()
                process.kill()
            status = await process.wait()
    stack.exit_code = status


def free_bytes(folder: Path) -> int:
    """What an unprivileged user may still write there."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


@contextmanager
def filled(folder: Path, *, leave_bytes: int) -> Iterator[None]:
    """Fill the file system with one file but for so many bytes; make room again at the end."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while (room := free_bytes(folder) - leave_bytes) > 0:
                try:
                    file.write(_CHUNK[:room])
                except OSError:
                    break  # somebody else took the last blocks
        yield
    finally:
        ballast.unlink()
