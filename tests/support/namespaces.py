"""A whole stack in a private mount namespace: other disks and other homes, for this stack alone.

Nothing that is mounted there is seen, or left, outside; the test looks at the stack's files through
`/proc/<pid>/root` of its supervisor. All of it needs root.
"""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import trio

from stack.endpoints import Endpoints, NotRunningError, read_endpoints
from stack.temporary import TemporaryStack

READY_WITHIN_S: Final = 60.0
GONE_WITHIN_S: Final = 60.0
_CHUNK: Final = bytes(1_048_576)


def mount_memory(place: Path, options: str = "mode=0755") -> str:
    """The step that puts an empty file system in a folder's place."""
    return shlex.join(["mount", "-t", "tmpfs", "-o", options, "turnout", str(place)])


def bind(folder: Path, place: Path) -> str:
    """The step that shows a folder in another place too."""
    return shlex.join(["mount", "--bind", str(folder), str(place)])


def keep_within_reach(folders: Iterable[Path], spare: Path) -> list[str]:
    """The steps that leave folders where they are, but open every closed one above them.

    A closed folder, such as root's home, is replaced by an empty open one that holds only these.
    """
    hidden: dict[Path, list[Path]] = {}
    for folder in folders:
        closed = [parent for parent in folder.parents if not parent.stat().st_mode & stat.S_IXOTH]
        if closed:
            hidden.setdefault(closed[-1], []).append(folder)  # the outermost
    steps = []
    for number, (closed_folder, kept) in enumerate(hidden.items()):
        away = [spare / f"{number}-{place}" for place in range(len(kept))]
        for folder, place in zip(kept, away, strict=True):
            place.mkdir(parents=True)
            steps.append(bind(folder, place))
        steps.append(mount_memory(closed_folder))
        for folder, place in zip(kept, away, strict=True):
            steps += [shlex.join(["mkdir", "-p", str(folder)]), bind(place, folder)]
    return steps


@asynccontextmanager
async def stack_with_mounts(
    steps: Sequence[str],
    command: Sequence[str],
    *,
    data_dir: Path,
    log_file: Path,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[TemporaryStack]:
    """Run a stack until the block ends.

    Args:
        steps: shell commands that arrange the mounts.
        command: `turnout up` and its options, by exec.
        data_dir: where it will keep its data, as it sees it.
        log_file: for its standard error, as we see it.
        environ: what it finds; None = what we have.
    """
    script = " && ".join([*steps, 'exec "$@"'])
    with log_file.open("wb") as log:
        process = await trio.lowlevel.open_process(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environ,
            cwd="/",
        )
    seen = Path(f"/proc/{process.pid}/root{data_dir}")
    stack = None
    try:
        endpoints = await _until_ready(process, seen, log_file)
        stack = TemporaryStack(
            data_dir=seen, endpoints=endpoints, process_id=process.pid, log_file=log_file
        )
        yield stack
    finally:
        with trio.CancelScope(shield=True):
            exit_code = await _stop(process)
        if stack is not None:
            stack.exit_code = exit_code


async def _until_ready(process: trio.Process, data_dir: Path, log_file: Path) -> Endpoints:
    with trio.move_on_after(READY_WITHIN_S):
        while process.poll() is None:
            try:
                return read_endpoints(data_dir)
            except NotRunningError:
                await trio.sleep(0.02)
    said = await trio.Path(log_file).read_text()
    raise AssertionError(f"the stack did not start:\n{said}")


async def _stop(process: trio.Process) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(GONE_WITHIN_S):
            await process.wait()
        process.kill()
    return await process.wait()


def free_bytes(folder: Path) -> int:
    """What an unprivileged user may still write there."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


@contextmanager
def filled(folder: Path, *, leave_bytes: int) -> Iterator[None]:
    """Fill a file system with one file but for so many bytes; make room again at the end."""
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
