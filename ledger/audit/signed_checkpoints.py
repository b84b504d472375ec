"""Every checkpoint that a log signed, by size, each held to its signature and to the others.

Three places tell of them: the history, of all; the published note, of the newest; the witness, of
the newest that it saw. A history of years has many millions of lines, so they are read one by one.
What was published or witnessed must stand in the history, and what stands in the history must stand
in the stream, whatever is added meanwhile: so those two are looked at first, then the history's
length, and what comes after is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from pathlib import Path

from ledger.audit.findings import Findings
from ledger.audit.folders import LOG_KEY_STEM, WITNESS_KEY_STEM
from ledger.audit.history import (
    NO_LINE,
    HistoryError,
    decode_line,
    last_line,
    line_digest,
    read_lines,
)
from ledger.audit.keys import KeyFileError, load_public
from ledger.audit.log import CHECKPOINT, HISTORY
from ledger.audit.notes import Checkpoint, Note, NoteError, VerifierKey
from ledger.audit.witness import WITNESSED

Placed = tuple[str, Checkpoint]


class SignedCheckpoints:
    """Iterated once: place and checkpoint, by size.

    Args:
        folder: of the log.
        key: the log's.
        findings: what is wrong is added here.
        witness: the folder of a witness.
        witness_key: its key; None believes the one that lies there.

    Attributes:
        size: leaves under the largest so far.
        witnessed: leaves under what the witness cosigned.
        expected: leaves under the largest there seems to be, for showing progress.
    """

    def __init__(
        self,
        folder: Path,
        key: VerifierKey,
        findings: Findings,
        witness: Path | None = None,
        witness_key: VerifierKey | None = None,
    ) -> None:
        self._history = folder / HISTORY
        self._key = key
        self._findings = findings
        self.size = 0
        self._beside: list[Placed] = []
        self._unseen: dict[Checkpoint, tuple[str, str]] = {}  # with the kind of finding, and place
        if witness is not None:
            self._look_at_witness(witness, witness_key)
        self.witnessed = self._beside[0][1].size if self._beside else 0
        self._published = folder / CHECKPOINT
        if self._published.exists():
            self._look_at(self._published, "checkpoint", self._published.read_bytes())
        self._bytes = self._history.stat().st_size if self._history.exists() else 0
        self._beside.sort(key=_size)
        sizes = [checkpoint.size for _, checkpoint in self._beside]
        self.expected = max(self._last_size(), *sizes, 0)
        self._newest_size, self._end = 0, 0  # of the history, as far as it was read

    def __iter__(self) -> Iterator[Placed]:
        """Every checkpoint that is rightly signed; what is wrong with others is added."""
        for placed in merge(self._lines(), self._beside, key=_size):
            self.size = max(self.size, placed[1].size)
            yield placed
        self._name_unseen()

    def _lines(self) -> Iterator[Placed]:
        """Those of the history; each must be as it was written, and grow on the one before."""
        findings, path = self._findings, self._history
        if not path.exists():
            if self._beside:
                findings.add("checkpoint", path, "is missing")
                self._unseen.clear()
            return
        before: str | None = NO_LINE
        newest: Checkpoint | None = None
        for at, line in read_lines(path, self._bytes):
            place = f"{path}:{at}"
            try:
                signed = decode_line(path, at, line)
                checkpoint = _checked(signed.note.encode(), self._key)
                signed.check(line, before, self._key)
            except (NoteError, HistoryError) as error:
                findings.add("checkpoint", place, str(error))
                before = None
                continue
            before = line_digest(line)
            self._unseen.pop(checkpoint, None)
            if newest is not None and checkpoint.size <= newest.size:
                findings.add("checkpoint", place, "does not grow on the checkpoint before it")
                continue
            newest = checkpoint
            self._newest_size, self._end = checkpoint.size, at + len(line) + 1
            yield place, checkpoint
        if newest is not None and not self._published.exists():
            findings.add("checkpoint", self._published, "is missing")

    def _name_unseen(self) -> None:
        """What stands elsewhere and not in the history: that one was cut, or the other put in."""
        for checkpoint, (kind, place) in self._unseen.items():
            if checkpoint.size > self._newest_size:
                reason = f"ends before the checkpoint of {checkpoint.size} records that {place} has"
                self._findings.add("checkpoint", f"{self._history}:{self._end}", reason)
            else:
                reason = f"the history does not have this checkpoint, of {checkpoint.size} records"
                self._findings.add(kind, place, reason)

    def _look_at(self, path: Path, kind: str, note: bytes) -> None:
        try:
            checkpoint = _checked(note, self._key)
        except NoteError as error:
            self._findings.add(kind, path, str(error))
            return
        self._beside.append((str(path), checkpoint))
        self._unseen[checkpoint] = (kind, str(path))

    def _look_at_witness(self, folder: Path, key: VerifierKey | None) -> None:
        """What a witness cosigned last; nothing while it has seen nothing."""
        own = folder / f"{WITNESS_KEY_STEM}.pub"
        pinned = folder / f"{LOG_KEY_STEM}.pub"
        path = folder / WITNESSED
        if not path.exists():
            if key is not None or own.exists():
                self._findings.add("witness", path, "is missing")
            return
        try:
            if load_public(pinned) != self._key:
                self._findings.add("witness", pinned, "is another log's key than the one given")
        except KeyFileError as error:
            self._findings.add("witness", pinned, str(error))
        try:
            key = key or load_public(own)
        except KeyFileError as error:
            self._findings.add("witness", own, str(error))
            return
        note = path.read_bytes()
        try:
            Note.parse(note).check(key)
        except NoteError as error:
            self._findings.add("witness", path, str(error))
            return
        self._look_at(path, "witness", note)

    def _last_size(self) -> int:
        try:
            line = last_line(self._history)
        except HistoryError:
            return 0
        return line.size if line else 0


def _checked(note: bytes, key: VerifierKey) -> Checkpoint:
    parsed = Note.parse(note)
    parsed.check(key)
    return Checkpoint.parse(parsed.text)


def _size(placed: Placed) -> int:
    return placed[1].size
