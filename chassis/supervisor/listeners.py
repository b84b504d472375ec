"""Listening sockets, bound by the supervisor before any process starts.

The supervisor binds exclusively and hands the sockets down: a second stack on the same port fails
to start instead of taking half of the connections, as SO_REUSEPORT would allow, and a process that
dies leaves its socket open, so that clients wait in the backlog for its successor.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from attrs import frozen

from chassis.supervisor.errors import StartError

BACKLOG = 1_024  # connections that wait while a process restarts; the kernel caps it (somaxconn)
SOCKET_PATH_BYTES_MAX = 107  # sun_path is 108 bytes with its terminating zero (unix(7))


@frozen
class Listener:
    """A bound, listening socket and the address that peers use."""

    socket: socket.socket
    address: str  # host:port, or the path of a Unix socket

    def close(self) -> None:
        """Close the socket; a Unix socket's file goes too."""
        self.socket.close()
        if self.address.startswith("/"):
            Path(self.address).unlink(missing_ok=True)


def bind_tcp(host: str, port: int, *, purpose: str, setting: str) -> Listener:
    """Bind and listen on a TCP port; 0 = any free one.

    Args:
        host: a numeric address or a local name.
        port: 0 to 65535.
        purpose: what for, in words, such as `the API`.
        setting: the key that moves it elsewhere, such as `api.port`.

    Raises:
        StartError: the port is taken, not permitted, or the host is none of ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Lets a restart bind while old connections linger in TIME_WAIT; on Linux it never shares
        # a port that somebody listens on.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise StartError(_why_not(error, host, port, purpose, setting)) from error
    chosen = bound.getsockname()[1]
    return Listener(
        bound, f"[{host}]:{chosen}" if family == socket.AF_INET6 else f"{host}:{chosen}"
    )


def _why_not(error: OSError, host: str, port: int, purpose: str, setting: str) -> str:
    address = f"{host} port {port}, for {purpose},"
    if error.errno == errno.EADDRINUSE:
        return f"{address} is taken; stop what uses it, or set {setting} (0 = any free port)"
    if error.errno == errno.EACCES:
        return f"{address} is not permitted to this user; set {setting} to 1024 or above"
    return f"{address} cannot be bound: {error.strerror}; set {setting} or its host"


def bind_unix(path: Path, *, owner: tuple[int, int] | None = None) -> Listener:
    """Bind and listen on a Unix socket that only its owner and its owner's group may connect to.

    The caller holds the lock on the stack's folder, so what lies at `path` is a leftover.

    Args:
        path: in a folder that only we may write to.
        owner: uid and gid that the socket file is given to; None = stays ours alone.

    Raises:
        StartError: the path is too long, or cannot be bound.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise StartError(
            f"{path} is longer than the {SOCKET_PATH_BYTES_MAX} bytes of a socket path"
        )
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        bound.bind(os.fspath(path))
        if owner is not None:
            os.chown(path, *owner)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR | (0 if owner is None else 0o060))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise StartError(f"the socket {path} cannot be bound: {error.strerror}") from error
    return Listener(bound, os.fspath(path))
