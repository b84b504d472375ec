"""The log of one shard: appends leaves, and signs what it has become.

Theory of operation
-------------------
Leaves are hashed as they come and their hashes written behind the kept levels; that is not yet
durable, and need not be: the stream has the leaves. A *checkpoint* makes the levels durable, signs
size and root, adds the note to the history, and puts it in the place of the last one. In this
order, so that a published note never speaks of hashes that a power cut could take.

At the start whatever stands behind the last signed note is cut off and made again from the stream,
leaf by leaf; the root of what is left must be the signed one, or the log does not open. So the
process that signs never signs two roots for one size, and never signs over a change beneath it.

    <folder>/levels/…            the kept hashes (`ledger.audit.level_files`)
    <folder>/checkpoint          the last signed note
    <folder>/history.jsonl       every signed note (`ledger.audit.history`)

Blocking; the service runs `checkpoint` in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from attrs import define, field

from chassis.crash_points import AFTER_PUBLISHING, BEFORE_PUBLISHING, BEFORE_SIGNING, reach
from chassis.durable import write_durably
from ledger.audit.history import (
    NO_LINE,
    HistoryError,
    Signed,
    cut_torn_line,
    last_digest,
    last_line,
    remember,
)
from ledger.audit.level_files import LevelFileError, LevelFiles, make_readable
from ledger.audit.levels import TILE_HEIGHT, Edge
from ledger.audit.merkle import leaf_hashes
from ledger.audit.notes import Checkpoint, Note, NoteError, Signer, VerifierKey, sign_note

LEVELS: Final = "levels"
CHECKPOINT: Final = "checkpoint"
HISTORY: Final = "history.jsonl"
_READABLE: Final = 0o644


class AuditLogError(Exception):
    """The log's own files do not fit each other; names the file."""


@define
class AuditLog:
    """The log as the one process that appends to it has it open.

    Attributes:
        origin: the name that its checkpoints carry.
        signed_size: leaves under the last signature.
    """

    folder: Path
    origin: str
    key: VerifierKey
    _signer: Signer = field(repr=False)
    _levels: LevelFiles = field(repr=False)
    _edge: Edge = field(repr=False)
    signed_size: int = 0
    _last_line: str = field(default=NO_LINE, repr=False)

    @classmethod
    def open(cls, folder: Path, origin: str, key: VerifierKey, signer: Signer) -> Self:
        """Open the log where its last checkpoint left it, or begin one.

        Raises:
            AuditLogError: its files do not lead to the root that was signed.
            OSError: they cannot be read or written.
        """
        make_readable(folder)
        cut_torn_line(folder / HISTORY)
        last = last_signed(folder, key)
        if last is not None and last.origin != origin:
            raise AuditLogError(f"{folder / CHECKPOINT} is of another log")
        size = 0 if last is None else last.size
        levels = LevelFiles(folder / LEVELS)
        levels.cut(size)
        try:
            edge = Edge.of(size, levels.read)
        except LevelFileError as error:
            raise AuditLogError(str(error)) from error
        if last is not None and edge.root() != last.root:
            raise AuditLogError(f"{levels.folder} does not lead to the root signed at {size}")
        digest = last_digest(folder / HISTORY)
        return cls(folder, origin, key, signer, levels, edge, size, digest)

    @property
    def size(self) -> int:
        """Leaves appended; the index of the next."""
        return self._edge.size

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf as it is kept.

        Raises:
            AuditLogError: it is not there.
        """
        try:
            return self._levels.read(0, index, 1)[0]
        except LevelFileError as error:
            raise AuditLogError(str(error)) from error

    def append(self, leaves: Sequence[bytes]) -> None:
        """Append leaves as they are in the stream; they count from the next checkpoint on.

        Raises:
            OSError: they cannot be written; open the log again.
        """
        first = self._edge.size
        for level, added in enumerate(self._edge.append(leaf_hashes(leaves))):
            self._levels.append(level, first >> TILE_HEIGHT * level, added)

    def checkpoint(self, now: datetime) -> Note | None:
        """Sign what there is and publish it; None if nothing has come since the last time.

        Raises:
            OSError: it is not durable; nothing was published. Open the log again.
        """
        if self._edge.size == self.signed_size:
            return None
        self._levels.sync()
        reach(BEFORE_SIGNING)
        text = Checkpoint(self.origin, self._edge.size, self._edge.root()).text
        note = sign_note(text, self.key, self._signer)
        line = Signed(now, self._edge.size, bytes(note).decode(), self._last_line)
        self._last_line = remember(self.folder / HISTORY, line.sealed(self._signer))
        reach(BEFORE_PUBLISHING)
        write_durably(self.folder / CHECKPOINT, bytes(note), mode=_READABLE)
        reach(AFTER_PUBLISHING)
        self.signed_size = self._edge.size
        return note

    def close(self) -> None:
        """Let go of the files; what was not signed is made again at the next start."""
        self._levels.close()


def last_signed(folder: Path, key: VerifierKey) -> Checkpoint | None:
    """The last checkpoint that was signed, published or not; None before the first.

    Raises:
        AuditLogError: a note is malformed, or not signed by this key.
        OSError: a file cannot be read.
    """
    found = []
    try:
        if (folder / CHECKPOINT).exists():
            found.append(_checked((folder / CHECKPOINT).read_bytes(), key))
        if (line := last_line(folder / HISTORY)) is not None:
            found.append(_checked(line.note.encode(), key))
    except NoteError as error:
        raise AuditLogError(f"{folder}: {error}") from error
    except HistoryError as error:
        raise AuditLogError(str(error)) from error
    return max(found, key=lambda checkpoint: checkpoint.size, default=None)


def _checked(note: bytes, key: VerifierKey) -> Checkpoint:
    parsed = Note.parse(note)
    parsed.check(key)
    return Checkpoint.parse(parsed.text)
