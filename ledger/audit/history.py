"""Every checkpoint that a log ever signed, a line each, the oldest first.

A line is JSON, `{"at": "2030-01-01T00:00:00Z", "size": 12, "note": "…"}`, so that people, `jq` and
auditors can read it; what counts is the note, which is signed. A crash can cut the last line short:
its note was not published then, and the line goes at the next start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

LINE_BYTES_MAX: Final = 32_768  # a note has 16 KiB at most, and JSON doubles its newlines
_READABLE: Final = 0o644


class HistoryError(Exception):
    """A line of a history is none; names the file and the line's first byte."""


class Signed(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        at: when it was signed, by the log's own clock.
        size: leaves, as the note says.
        note: the signed note as it was published.
    """

    at: datetime
    size: int
    note: str


_DECODER: Final = msgspec.json.Decoder(Signed)


def remember(path: Path, signed: Signed) -> None:
    """Add a line; durable when this returns.

    Raises:
        OSError: it is not.
    """
    line = memoryview(msgspec.json.encode(signed) + b"\n")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, _READABLE)
    try:
        os.fchmod(descriptor, _READABLE)  # whatever the umask says
        while line:
            line = line[os.write(descriptor, line) :]
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def read_history(path: Path) -> Iterator[Signed]:
    """Every line; nothing if there is no file yet.

    Raises:
        HistoryError: a line is none.
        OSError: the file cannot be read.
    """
    if not path.exists():
        return
    at = 0
    with path.open("rb") as lines:
        for line in lines:
            yield _decoded(path, at, line)
            at += len(line)


def last_line(path: Path) -> Signed | None:
    """The last line; None if there is none. Reads no more than that.

    Raises:
        HistoryError: it is no line of a history.
        OSError: the file cannot be read.
    """
    if not path.exists():
        return None
    tail, tail_at = _tail(path)
    begins = tail.rfind(b"\n", 0, len(tail) - 1) + 1
    return _decoded(path, tail_at + begins, tail[begins:]) if tail else None


def cut_torn_line(path: Path) -> None:
    """Drop a last line that a crash cut short.

    Raises:
        OSError: it cannot be dropped.
    """
    if not path.exists():
        return
    tail, tail_at = _tail(path)
    whole = tail.rfind(b"\n") + 1
    if whole != len(tail):
        os.truncate(path, tail_at + whole)


def _tail(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        at = max(0, file.seek(0, os.SEEK_END) - 2 * LINE_BYTES_MAX)
        file.seek(at)
        return file.read(), at


def _decoded(path: Path, at: int, line: bytes) -> Signed:
    try:
        return _DECODER.decode(line)
    except msgspec.DecodeError:
        raise HistoryError(f"{path} has no signed note at byte {at}") from None
