"""Crash points: named steps at which a process ends itself as a crash would, in tests.

Theory of operation. What a crash leaves behind depends on where it comes: before a commit, after
it, with a message on the wire and not yet on the wire. A kill from outside comes anywhere. So the
steps where it matters call `reach` with their names, and a test arms one of them: the next process
that reaches it ends at that moment by SIGKILL, without a chance to tidy up. It happens once; the
process that is started instead passes.

The name stands in a file that every process maps into its memory, like the offset of the clock: a
stack can be armed while it runs, again and again. Where no file is named by
`testing.crash_point_file`, which live mode refuses, `reach` is a comparison with None, at steps
that are passed once a batch.
"""

from __future__ import annotations

import mmap
import os
import signal
from pathlib import Path
from typing import Final

NAME_BYTES: Final = 32
_NOTHING: Final = bytes(NAME_BYTES)

BEFORE_COMMIT_1: Final = "before_commit_1"  # routed and numbered; nothing is recorded
AFTER_COMMIT_1: Final = "after_commit_1"  # recorded; nothing has left
BEFORE_WRITE: Final = "before_write"  # a message counts as sent; no byte of it has left
AFTER_WRITE: Final = "after_write"  # the kernel has it; nobody has answered
BEFORE_COMMIT_2: Final = "before_commit_2"  # outcomes are known here and recorded nowhere
AFTER_COMMIT_2: Final = "after_commit_2"  # recorded; nobody was told
AFTER_REPLY: Final = "after_reply"  # replies are handed on; they may not have left
BEFORE_DECISION: Final = "before_decision"  # the same for what follows a charge: captures, cancels,
AFTER_DECISION: Final = "after_decision"  # refunds, inquiries, reversals, and their answers
BEFORE_STREAM_SYNC: Final = "before_stream_sync"  # a batch is written; perhaps it will be read back
AFTER_STREAM_SYNC: Final = "after_stream_sync"  # it is durable; nobody knows
BEFORE_APPEND: Final = "before_append"  # the relay has changes that are in no stream
AFTER_APPEND: Final = "after_append"  # they are in the stream; the database has not heard of it
AFTER_FEEDBACK: Final = "after_feedback"  # the database may forget what the stream holds
DURING_REPAIR: Final = "during_repair"  # some of what was missing is in the stream, not all
BEFORE_SIGNING: Final = "before_signing"  # the tree's levels hold what no signature covers
BEFORE_PUBLISHING: Final = "before_publishing"  # a checkpoint is in the history, and unpublished
AFTER_PUBLISHING: Final = "after_publishing"  # it is published; no witness has seen it
ARCHIVE_WRITTEN: Final = "archive_written"  # a segment's tables are written beside the store
ARCHIVE_RECORDS: Final = "archive_records"  # its records are stored, its frames are not
ARCHIVE_FRAMES: Final = "archive_frames"  # both are stored, and no manifest speaks for them
ARCHIVE_MANIFEST: Final = "archive_manifest"  # it is archived; the catalog does not know
ARCHIVE_REMOVING: Final = "archive_removing"  # a segment is about to leave the stream
ARCHIVE_HEAD: Final = "archive_head"  # the stream's head is behind it; its file is there
ARCHIVE_REMOVED: Final = "archive_removed"  # its file is gone; the catalog does not know
ARCHIVE_EXPIRING: Final = "archive_expiring"  # a segment is about to leave the archive
ARCHIVE_BEGIN: Final = "archive_begin"  # the archive begins behind it; its objects are there
ARCHIVE_EXPIRED: Final = "archive_expired"  # they are gone; the catalog does not know
MONTH_DETACHED: Final = "month_detached"  # a month is no part of the tables, and still there
MONTH_SIGNED: Final = "month_signed"  # that it goes is signed
MONTH_DROPPED: Final = "month_dropped"  # it is gone
POINTS: Final = (
    BEFORE_COMMIT_1,
    AFTER_COMMIT_1,
    BEFORE_WRITE,
    AFTER_WRITE,
    BEFORE_COMMIT_2,
    AFTER_COMMIT_2,
    AFTER_REPLY,
    BEFORE_DECISION,
    AFTER_DECISION,
)
STREAM_POINTS: Final = (BEFORE_STREAM_SYNC, AFTER_STREAM_SYNC)  # reached behind payments
RELAY_POINTS: Final = (BEFORE_APPEND, AFTER_APPEND, AFTER_FEEDBACK, DURING_REPAIR)
AUDIT_POINTS: Final = (BEFORE_SIGNING, BEFORE_PUBLISHING, AFTER_PUBLISHING)
ARCHIVE_POINTS: Final = (ARCHIVE_WRITTEN, ARCHIVE_RECORDS, ARCHIVE_FRAMES, ARCHIVE_MANIFEST)
TRIM_POINTS: Final = (ARCHIVE_REMOVING, ARCHIVE_HEAD, ARCHIVE_REMOVED)
EXPIRY_POINTS: Final = (ARCHIVE_EXPIRING, ARCHIVE_BEGIN, ARCHIVE_EXPIRED)
MONTH_POINTS: Final = (MONTH_DETACHED, MONTH_SIGNED, MONTH_DROPPED)
RETENTION_POINTS: Final = TRIM_POINTS + EXPIRY_POINTS + MONTH_POINTS


class _Shared:
    __slots__ = ("armed",)

    def __init__(self) -> None:
        self.armed: mmap.mmap | None = None


_SHARED: Final = _Shared()


def reach(point: str) -> None:
    """End this process if this is the point that is armed."""
    armed = _SHARED.armed
    if armed is None or armed[:NAME_BYTES] != _padded(point):
        return
    armed[:NAME_BYTES] = _NOTHING  # whoever comes next passes
    os.kill(os.getpid(), signal.SIGKILL)


def follow_arming(path: Path) -> None:
    """Crash at the point that a file names, now and whenever it changes.

    Raises:
        OSError: it cannot be opened for reading and writing.
        ValueError: it was not made by `arm` or `disarm`.
    """
    with path.open("r+b") as file:
        if os.fstat(file.fileno()).st_size != NAME_BYTES:
            raise ValueError(f"{path}: must hold {NAME_BYTES} bytes")
        _SHARED.armed = mmap.mmap(file.fileno(), NAME_BYTES)


def arm(path: Path, point: str) -> None:
    """Have the next process that reaches a point crash there.

    Raises:
        ValueError: there is no such point.
        OSError: the file cannot be written.
    """
    known = (
        *POINTS,
        *STREAM_POINTS,
        *RELAY_POINTS,
        *AUDIT_POINTS,
        *ARCHIVE_POINTS,
        *RETENTION_POINTS,
    )
    if point not in known:
        raise ValueError(f"{point!r} is no crash point: {', '.join(known)}")
    _write(path, _padded(point))


def disarm(path: Path) -> None:
    """Have nobody crash; makes the file where there is none.

    Raises:
        OSError: the file cannot be written.
    """
    _write(path, _NOTHING)


def is_armed(path: Path) -> bool:
    """Whether the point is still to be reached.

    Raises:
        OSError: the file cannot be read.
    """
    return path.read_bytes() != _NOTHING


def _padded(point: str) -> bytes:
    return point.encode().ljust(NAME_BYTES, b"\0")


def _write(path: Path, name: bytes) -> None:
    # Never truncated: that would take the ground from under those who have it mapped.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.fchmod(descriptor, 0o666)  # processes of other users note here that they crashed
        os.pwrite(descriptor, name, 0)
    finally:
        os.close(descriptor)
