"""One process of the product alone, started as the supervisor starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chassis.service import LaunchDocument, encode_launch_document
from chassis.service.launch import READY
from chassis.settings.tree import Settings

DRAIN_TIMEOUT_S = 10.0
_FRONT_DOOR = "from turnout import main; main()"


class ChildError(Exception):
    """The process ended before it was ready, or did not drain."""


@contextmanager
def service_process(
    name: str,
    *,
    settings: Settings,
    data_dir: Path,
    listeners: Mapping[str, socket.socket],
    allowed_uids: Mapping[str, int],
    index: int = 0,
    endpoints: Mapping[str, list[str]] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, yield it when it is ready, drain it at the end.

    Args:
        name: such as `hsm`.
        settings: the whole tree.
        data_dir: a folder it may write to.
        listeners: bound, listening sockets by role; the child inherits them.
        allowed_uids: uid by role, for its Unix sockets.
        index: worker number.
        endpoints: where its peers listen.
        secrets: its own.

    Raises:
        ChildError: it ended before it was ready, or its exit status is not 0.
    """
    launch_read, launch_write = os.pipe()
    lifeline_read, lifeline_write = os.pipe()
    ready_read, ready_write = os.pipe()
    document = LaunchDocument(
        name=name,
        index=index,
        settings=settings,
        data_dir=str(data_dir),
        listeners={role: listener.fileno() for role, listener in listeners.items()},
        endpoints=dict(endpoints or {}),
        secrets=dict(secrets or {}),
        allowed_uids=dict(allowed_uids),
        lifeline_fd=lifeline_read,
        ready_fd=ready_write,
    )
    os.write(launch_write, encode_launch_document(document))
    os.close(launch_write)
    theirs = (launch_read, lifeline_read, ready_write)
    process = subprocess.Popen(
        [sys.executable, "-c", _FRONT_DOOR, "serve", name, "--launch-fd", str(launch_read)],
        pass_fds=(*theirs, *document.listeners.values()),
    )
    for descriptor in theirs:
        os.close(descriptor)
    try:
        with os.fdopen(ready_read, "rb") as ready:
            if ready.read(len(READY)) != READY:
                raise ChildError(f"{name} ended with status {process.wait()} before it was ready")
        yield process
    finally:
        os.close(lifeline_write)
        _wait(process)
    if process.returncode:
        raise ChildError(f"{name} ended with status {process.returncode}")


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(DRAIN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
