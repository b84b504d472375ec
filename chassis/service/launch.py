"""The launch document: all that a process is told by the supervisor that started it.

It is msgpack in an inherited file that exists in memory only and whose descriptor number stands on
the command line, so that secrets appear in no argument list, no environment and on no disk.
Sockets and pipes are named in it by their descriptor numbers, which the child has inherited.
"""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from chassis.settings.tree import Settings

LAUNCH_BYTES_MAX = 262_144  # the settings are 6 kB, each network adds 1 kB
# What a process writes to `ready_fd`: one byte; after the second one the reason, in UTF-8.
READY = b"\x01"
FAILED = b"\x02"
REASON_BYTES_MAX = 2_048  # a pipe takes 4 KiB as a whole


class LaunchError(Exception):
    """The launch document is missing or not one of ours: the process was started by hand."""


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who a process runs as, where the supervisor is root."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()  # of the servers whose Unix sockets it may connect to


class LaunchDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything one process needs; descriptors are numbers of inherited files."""

    name: str
    index: int
    settings: Settings
    data_dir: str  # the shard's, for a process of a shard
    listeners: dict[str, int]  # role -> bound, listening socket
    endpoints: dict[str, list[str]]  # peer -> socket paths or host:port
    secrets: dict[str, str]
    allowed_uids: dict[str, int]  # role -> uid that may connect to our Unix sockets
    lifeline_fd: int  # end of file = drain
    ready_fd: int  # see READY and FAILED
    identity: Identity | None = None  # None = stay who we are
    shard: int = 0
    stack_dir: str = ""  # what all shards share lies there; empty = in `data_dir`

    def __repr__(self) -> str:
        """Never the secrets."""
        return f"LaunchDocument(name={self.name!r}, index={self.index})"


def encode_launch_document(document: LaunchDocument) -> bytes:
    """The document as it travels.

    Raises:
        LaunchError: it is larger than a process reads.
    """
    data = msgspec.msgpack.encode(document)
    if len(data) > LAUNCH_BYTES_MAX:
        raise LaunchError(
            f"the launch document of {document.name} takes {len(data)} bytes; "
            f"at most {LAUNCH_BYTES_MAX} are read"
        )
    return data


def read_launch_document(launch_fd: int) -> LaunchDocument:
    """Read the document to its end and close the file.

    Raises:
        LaunchError: not a descriptor we inherited, or no launch document in it.
    """
    try:
        with os.fdopen(launch_fd, "rb") as file:
            data = file.read(LAUNCH_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise LaunchError(f"descriptor {launch_fd} cannot be read: {error}") from None
    try:
        return msgspec.msgpack.decode(data, type=LaunchDocument)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The decoder's message may quote a secret, so it is not chained.
        raise LaunchError(f"descriptor {launch_fd} holds no launch document") from None
