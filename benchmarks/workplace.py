"""Where a benchmark of the whole stack runs: a fresh stack on real storage, and what it burns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg

from benchmarks.report import process_cpu_s
from chassis.settings import Settings
from ledger.roles import READER
from stack.database import dsn_of_running
from stack.doctor import file_system
from stack.temporary import TemporaryStack, TemporaryStackError

__all__ = [
    "TemporaryStackError",
    "UnrealStorageError",
    "address",
    "cpu_by_group",
    "durability",
    "reader_dsn",
    "resident_bytes",
]

SERVERS: Final = ("postgres", "replica")
NETWORKS: Final = frozenset(Settings().networks)
UNREAL_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs", "overlay"})


class UnrealStorageError(Exception):
    """A commit would not be durable here, so its cost would be a fiction."""


def durability(dsn: str, data_dir: Path) -> dict[str, str]:
    """What makes a commit durable here: `fsync`, `synchronous_commit`, `file_system`.

    Raises:
        UnrealStorageError: fsync is off, or the data lies in memory.
    """
    with psycopg.connect(dsn) as connection:
        facts = {
            name: str(connection.execute(f"SHOW {name}").fetchone()[0])  # type: ignore[index]
            for name in ("fsync", "synchronous_commit")
        }
    facts["file_system"] = file_system(data_dir, Path("/proc/self/mounts").read_text())
    if facts["fsync"] != "on" or facts["file_system"] in UNREAL_FILE_SYSTEMS:
        raise UnrealStorageError(
            f"fsync is {facts['fsync']} and the data lies on {facts['file_system']}: "
            "choose a data directory on a disk (TMPDIR)"
        )
    return facts


def reader_dsn(stack: TemporaryStack) -> str:
    """The ledger of a running stack, as the role that only reads."""
    return dsn_of_running(Settings(), stack.data_dir, stack.endpoints, READER)


def address(stack: TemporaryStack) -> tuple[str, int]:
    """Host and port of the stack's API."""
    parts = urlsplit(stack.endpoints.api.url)
    return parts.hostname or "127.0.0.1", parts.port or 80


def group_of(process: str) -> str:
    """`hsm-0` is hsm, `vsim` and `msim` are networks, `relay@1` is relay."""
    process = process.partition("@")[0]
    name = process.rpartition("-")[0] or process
    return "networks" if name in NETWORKS else name


def cpu_by_group(processes: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of every process of a stack, a Postgres with all its back ends."""
    seconds: dict[str, float] = {}
    for name, pid in processes.items():
        group = group_of(name)
        pids = [pid, *_children(pid)] if group in SERVERS else [pid]
        seconds[group] = seconds.get(group, 0.0) + sum(_cpu_s(each) for each in pids)
    return seconds


def resident_bytes(processes: Mapping[str, int]) -> dict[str, int]:
    """Resident memory by process; Postgres without its children, whose memory is shared."""
    page = os.sysconf("SC_PAGE_SIZE")
    return {
        name: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
        for name, pid in processes.items()
    }


def _cpu_s(pid: int) -> float:
    try:
        return process_cpu_s(pid)
    except ProcessLookupError:  # a back end that ended meanwhile
        return 0.0


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
