"""Reaching a peer on this machine, and knowing who it is."""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection

import trio

from chassis.plain_stream import PlainStream

UNIX_PATH_BYTES_MAX = 107  # sun_path of Linux, less its closing zero (unix(7))
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


def peer_uid(sock: socket.socket | trio.socket.SocketType) -> int | None:
    """The user at the other end of a Unix socket when it connected; None for other sockets.

    The kernel says so (SO_PEERCRED, unix(7)), not the peer.
    """
    if sock.family != socket.AF_UNIX:
        return None
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


async def dial_unix(path: str, *, allowed_uids: Collection[int] | None = None) -> PlainStream:
    """Connect to a Unix socket.

    Args:
        path: its path, at most 107 bytes.
        allowed_uids: users whose process may listen there; None trusts the folder's permissions.

    Raises:
        ValueError: the path is too long for a Unix socket.
        OSError: nobody listens, or it is not ours to connect to.
        PermissionError: another user listens there.
    """
    if len(path.encode()) > UNIX_PATH_BYTES_MAX:
        raise ValueError(f"{path}: longer than the {UNIX_PATH_BYTES_MAX} bytes of a Unix socket")
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await sock.connect(path)
        _check_listener(path, peer_uid(sock), allowed_uids)
    except BaseException:
        sock.close()
        raise
    return PlainStream(sock)


def _check_listener(path: str, uid: int | None, allowed_uids: Collection[int] | None) -> None:
    if allowed_uids is not None and uid not in allowed_uids:
        raise PermissionError(f"{path}: user {uid} listens there")
