"""Postgres processes that an earlier run left behind on our data folder.

The caller holds the lock on the data folder, so no living supervisor owns them. They are known by
what the kernel says, never by a process id in a file alone: every Postgres process has the data
folder as its working directory, runs a program called `postgres`, and belongs to the server's
user. They are stopped, not adopted: a child of ours has today's settings and tells us when it
dies. `postmaster.pid` is removed only when its process id is alive as something else; in every
other case Postgres judges it better than we can (it also checks for shared memory still in use).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import trio

from chassis.log import get_logger
from ledger.embedded.identity import Identity
from ledger.errors import EmbeddedPostgresError

KILL_WAIT_S: Final = 5.0  # SIGKILL takes effect at once, save for a process in a disk wait

_PROC: Final = Path("/proc")
_POLL_S: Final = 0.02

_log = get_logger(__name__)


def server_processes(data: Path, identity: Identity) -> list[int]:
    """Process ids of the Postgres processes that work in `data`."""
    wanted = data.resolve()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (
                entry.stat().st_uid == identity.uid
                and (entry / "cwd").readlink() == wanted
                and (entry / "comm").read_text().strip() == "postgres"
            ):
                found.append(int(entry.name))
        except OSError:  # gone meanwhile, or another user's
            continue
    return sorted(found)


def recorded_process(data: Path) -> int | None:
    """The process id in `postmaster.pid`, or None without one."""
    try:
        first = (data / "postmaster.pid").read_text().splitlines()[0]
        return abs(int(first))
    except (OSError, IndexError, ValueError):
        return None


async def clear_orphans(
    data: Path, identity: Identity, *, stop_timeout_s: float, kill_wait_s: float = KILL_WAIT_S
) -> None:
    """Stop what still runs on `data` and remove a process-id file that names a stranger.

    Args:
        data: The data folder; the caller holds its lock.
        identity: Who its server runs as.
        stop_timeout_s: For a fast shutdown, which writes a checkpoint.
        kill_wait_s: For an immediate one, and again after SIGKILL.

    Raises:
        EmbeddedPostgresError: When a process survives SIGKILL (a disk that does not answer).
    """
    recorded = recorded_process(data)
    alive = server_processes(data, identity)
    if recorded in alive:
        _log.warning("stopping the Postgres of an earlier run", process_id=recorded)
        _signal([recorded], signal.SIGINT)  # fast shutdown: clients go, a checkpoint is written
        alive = await _gone(data, identity, stop_timeout_s)
    # Children without a postmaster, or a postmaster that did not obey, are not asked politely.
    for number in (signal.SIGQUIT, signal.SIGKILL):
        if not alive:
            break
        _signal(alive, number)
        alive = await _gone(data, identity, kill_wait_s)
    if alive:
        raise EmbeddedPostgresError(
            f"processes {alive} of an earlier Postgres on {data} cannot be stopped; "
            "its disk may not be answering"
        )
    recorded = recorded_process(data)
    if recorded is not None and (_PROC / str(recorded)).exists():
        _log.warning("removing a postmaster.pid that names a stranger", process_id=recorded)
        (data / "postmaster.pid").unlink(missing_ok=True)


def clear_socket_lock(lock: Path, data: Path) -> None:
    """Remove the lock of a Unix socket that an earlier server on `data` left behind.

    Call it when no server runs on `data`. A lock of another data folder is not ours to judge:
    Postgres then refuses to start and says whose it is.
    """
    try:
        lines = lock.read_text().splitlines()
    except OSError:
        return
    if len(lines) > 1 and Path(lines[1]) == data:
        lock.unlink(missing_ok=True)


def _signal(process_ids: list[int], number: signal.Signals) -> None:
    for process_id in process_ids:
        try:
            os.kill(process_id, number)
        except ProcessLookupError:
            continue


async def _gone(data: Path, identity: Identity, timeout_s: float) -> list[int]:
    """Wait until none is left, or the time is up; returns those that are."""
    deadline = trio.current_time() + timeout_s
    while True:  # they are not our children, so nobody tells us
        alive = server_processes(data, identity)
        if not alive or trio.current_time() >= deadline:
            return alive
        await trio.sleep(_POLL_S)
