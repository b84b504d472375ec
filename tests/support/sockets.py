"""What the kernel says of this machine's TCP connections over IPv4 (proc_pid_net(5))."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_LOCAL, _REMOTE, _STATE, _QUEUES = 1, 2, 3, 4  # columns
_ESTABLISHED: Final = "01"
_CLOSE_WAIT: Final = "08"


def _rows() -> list[list[str]]:
    return [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def unread_bytes(port: int) -> int:
    """How much has come to a port that nobody has read."""
    return sum(
        int(row[_QUEUES].partition(":")[2], 16) for row in _rows() if _port(row[_LOCAL]) == port
    )


def connections(port: int) -> int:
    """How many connections to a port there are."""
    return _count(port, _ESTABLISHED)


def left_behind(port: int) -> int:
    """How many connections to a port have ended there, which who made them has not noticed."""
    return _count(port, _CLOSE_WAIT)


def _count(port: int, state: str) -> int:
    return sum(_port(row[_REMOTE]) == port and row[_STATE] == state for row in _rows())
