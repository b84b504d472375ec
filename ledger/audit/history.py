"""Every checkpoint that a log ever signed, a line each, the oldest first.

A line is JSON, so that people, `jq` and auditors can read it:

    {"at":"2030-01-01T00:00:00Z","size":12,"note":"…","before":"<64 hex digits>","seal":"<base64>"}

What counts is the note, which is signed. But a line that was removed, put in, moved or dated
otherwise would leave every note as it was: so each line has the SHA-256 of the line before it
(without its newline; zeros in the first), and the log's signature over itself, with `seal` empty.

A crash can cut the last line short: its note was not published then, and the line goes at the next
start.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from ledger.audit.notes import NoteError, Signer, VerifierKey

LINE_BYTES_MAX: Final = 32_768  # a note has 16 KiB at most, and JSON doubles its newlines
NO_LINE: Final = "0" * 64  # before the first one
_READABLE: Final = 0o644


class HistoryError(Exception):
    """A line of a history is none; names the file and the line's first byte."""


class Signed(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        at: when it was signed, by the log's own clock.
        size: leaves, as the note says.
        note: the signed note as it was published.
        before: SHA-256 of the line before it, in hex.
        seal: the log's signature over the line without it.
    """

    at: datetime
    size: int
    note: str
    before: str = ""
    seal: str = ""

    def sealed(self, signer: Signer) -> Signed:
        """The same line with the log's signature."""
        signature = signer.sign(self._message())
        return msgspec.structs.replace(self, seal=base64.b64encode(signature).decode())

    def check(self, line: bytes, before: str | None, key: VerifierKey) -> None:
        """Hold a line to its seal, and to the line before it.

        Args:
            line: as it stands in the file, without its newline.
            before: SHA-256 of the line before it; None if that is wrong already.
            key: the log's.

        Raises:
            NoteError: somebody else has written, moved or removed something here.
        """
        if msgspec.json.encode(self) != line:
            raise NoteError("the line is not written as the log writes it")
        try:
            key.check_message(self._message(), base64.b64decode(self.seal, validate=True))
        except (NoteError, ValueError):
            raise NoteError("the line is not sealed by the log") from None
        if before is not None and self.before != before:
            raise NoteError("the line before it is not the one that it was written after")

    def _message(self) -> bytes:
        return b"turnout audit history/1\n" + msgspec.json.encode(
            msgspec.structs.replace(self, seal="")
        )


_DECODER: Final = msgspec.json.Decoder(Signed)


def line_digest(line: bytes) -> str:
    """What the next line says of this one."""
    return sha256(line.removesuffix(b"\n")).hexdigest()


def remember(path: Path, signed: Signed) -> str:
    """Add a line; durable when this returns its digest.

    Raises:
        OSError: it is not.
    """
    encoded = msgspec.json.encode(signed) + b"\n"
    line = memoryview(encoded)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, _READABLE)
    try:
        os.fchmod(descriptor, _READABLE)  # whatever the umask says
        while line:
            line = line[os.write(descriptor, line) :]
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    return line_digest(encoded)


def read_lines(path: Path, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """The lines with the byte at which each begins; one without its newline is none yet.

    Args:
        path: of the history.
        end: lines that end behind this byte came later and are left out.

    Raises:
        OSError: the file cannot be read.
    """
    at = 0
    with path.open("rb") as lines:
        for line in lines:
            if end is not None and at + len(line) > end:
                return
            if line.endswith(b"\n"):
                yield at, line[:-1]
            at += len(line)


def read_history(path: Path) -> Iterator[Signed]:
    """Every line; nothing if there is no file yet.

    Raises:
        HistoryError: a line is none.
        OSError: the file cannot be read.
    """
    if path.exists():
        for at, line in read_lines(path):
            yield decode_line(path, at, line)


def last_digest(path: Path) -> str:
    """What the next line will say of the last one.

    Raises:
        OSError: the file cannot be read.
    """
    if not path.exists():
        return NO_LINE
    tail, _ = _tail(path)
    return line_digest(tail[tail.rfind(b"\n", 0, len(tail) - 1) + 1 :]) if tail else NO_LINE


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
    return decode_line(path, tail_at + begins, tail[begins:]) if tail else None


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


def decode_line(path: Path, at: int, line: bytes) -> Signed:
    """Read one line.

    Raises:
        HistoryError: it is none.
    """
    try:
        return _DECODER.decode(line)
    except msgspec.DecodeError:
        raise HistoryError(f"{path} has no signed note at byte {at}") from None
