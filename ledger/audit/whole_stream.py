"""A stream from its first record on: what left for the archive first, then the segments.

Who archives removes segments and says so by a signed note (`ledger.stream.segments.trim`). With
that note's key a verification knows where the segments begin; with a way to read the archive it
reads what lies before. Without the archive it goes on behind: the kept hashes stand in for records
that nobody has shown, and `unread` tells how many those are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from attrs import define

from ledger.audit.findings import Findings
from ledger.audit.notes import Note, NoteError, VerifierKey
from ledger.audit.segment_entries import Entries, read_entries
from ledger.stream.segments.trim import NAME, Head, decode_head


class Archived(Protocol):
    """The records of a shard that an archive has."""

    def begins_at(self) -> int:
        """The offset of the oldest, as was signed; 0 where nobody can tell: `read` says why."""

    def read(self, end: int, findings: Findings) -> Iterator[Entries]:
        """Read them up to an offset; what is wrong is added to the findings."""


@define
class WholeStream:
    """A stream, and how to read what left it.

    Attributes:
        folder: of the segments.
        shard: whose they are.
        head: where they begin, as its signature says; None: with the first record.
        archived: what lies before; None if no archive is at hand.
        unread: records before the first that was read.
    """

    folder: Path
    shard: int = 0
    head: Head | None = None
    archived: Archived | None = None
    unread: int = 0

    def entries(self, findings: Findings) -> Iterator[Entries]:
        """Read everything, in the order of the stream.

        Raises:
            OSError: a file cannot be read.
        """
        begun = False
        for entries in self._all(findings):
            if not begun:
                self.unread = entries.first_offset
                begun = True
            yield entries

    def begins_at(self) -> int:
        """The first record that must be there: what lies before was forgotten, as was signed."""
        return self.archived.begins_at() if self.archived else 0

    def _all(self, findings: Findings) -> Iterator[Entries]:
        if self.head is not None and self.archived is not None:
            yield from self.archived.read(self.head.first_offset, findings)
        yield from read_entries(self.folder, self.shard, findings, head=self.head)


def checked_head(folder: Path, key: VerifierKey | None) -> Head | None:
    """Where the segments of a stream begin; None if none was ever removed.

    Args:
        folder: of the segments.
        key: the archive's, which must have signed.

    Raises:
        NoteError: the note is not what the archive's key signed, or that key is not at hand.
        OSError: it cannot be read.
    """
    path = folder / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    note = Note.parse(data)
    if key is None:
        raise NoteError("it is signed by the archive, whose public key is not at hand")
    note.check(key)
    if bytes(note) != data:
        raise NoteError("it is not as it was written")
    try:
        return decode_head(note.text)
    except ValueError as error:
        raise NoteError(str(error)) from error
