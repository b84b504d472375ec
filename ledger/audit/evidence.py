"""Finding evidence in a log: the records of a payment, the proofs for one of them, the C2SP tree.

Reads the published files of a log and the segments of its stream; needs no database and no key but
the log's public one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from attrs import frozen

from ledger.audit.bundle import BundleError, make_bundle
from ledger.audit.findings import Findings
from ledger.audit.history import read_history
from ledger.audit.level_files import LevelFiles
from ledger.audit.levels import TILE_WIDTH, nodes_from
from ledger.audit.log import CHECKPOINT, HISTORY, LEVELS
from ledger.audit.merkle import (
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
)
from ledger.audit.notes import Checkpoint, Note, VerifierKey
from ledger.audit.segment_entries import Entries
from ledger.audit.tiles import pack_entries, tile_path, tiles_of
from ledger.audit.whole_stream import WholeStream
from ledger.audit.witness import WITNESSED

Progress = Callable[[int, int], None]

_INTENT = slice(32, 48)  # of a record, as `ledger.stream.record` lays it out


class EvidenceError(Exception):
    """What was asked for is not in the log; says what is."""


class Inclusion(msgspec.Struct, frozen=True):
    """A record proved to stand under a checkpoint."""

    index: int
    where: str
    leaf: bytes
    checkpoint: Checkpoint
    proof: list[bytes]


@frozen
class Evidence:
    """A log, its stream, and whom to believe.

    Attributes:
        log: the log's folder.
        stream: its records.
        witness: the folder of its witness.
        key: the log's public key.
    """

    log: Path
    stream: WholeStream
    witness: Path
    key: VerifierKey

    def note(self) -> bytes:
        """The newest checkpoint that a witness has cosigned, else the log's own newest.

        Raises:
            EvidenceError: nothing was ever signed.
            NoteError: the log did not sign it.
        """
        for path in (self.witness / WITNESSED, self.log / CHECKPOINT):
            if path.exists():
                note = path.read_bytes()
                Note.parse(note).check(self.key)
                return note
        raise EvidenceError("nothing has been signed yet")

    def checkpoint(self) -> Checkpoint:
        """The checkpoint of `note`; raises as it does."""
        return Checkpoint.parse(Note.parse(self.note()).text)

    def bundle(self, intent_id: bytes, progress: Progress) -> bytes:
        """Everything about one payment that is under the newest checkpoint.

        Raises:
            BundleError: there is nothing.
            EvidenceError: the stream is damaged, or nothing was signed.
        """
        size = self.checkpoint().size
        found: list[tuple[int, bytes]] = []
        descriptors: dict[bytes, None] = {}
        for entries in self._entries(progress, size):
            descriptors |= dict.fromkeys(entries.descriptors)
            found += [
                (index, record)
                for index, record in enumerate(entries.records, entries.first_offset)
                if record[_INTENT] == intent_id
            ]
        if not found:
            raise BundleError(f"the stream has nothing of this payment{self._unread()}")
        with LevelFiles(self.log / LEVELS) as levels:
            nodes = nodes_from(levels.read)
            return make_bundle(intent_id, self.note(), nodes, found, descriptors)

    def inclusion(self, index: int, progress: Progress) -> Inclusion:
        """Prove that a record stands in the tree, and check the proof.

        Raises:
            EvidenceError: the stream does not have it.
            ProofError: it is not the one that was signed.
        """
        checkpoint = self.checkpoint()
        with LevelFiles(self.log / LEVELS) as levels:
            proof = inclusion_proof(nodes_from(levels.read), index, checkpoint.size)
        for entries in self._entries(progress, checkpoint.size):
            within = index - entries.first_offset
            if within < 0:
                break
            if within < len(entries.records):
                leaf = entries.records[within]
                check_inclusion(leaf_hash(leaf), index, checkpoint.size, proof, checkpoint.root)
                return Inclusion(index, entries.place(index), leaf, checkpoint, proof)
        raise EvidenceError(f"the stream has no record {index}{self._unread()}")

    def consistency(self, old_size: int, new_size: int) -> list[bytes]:
        """Prove that one checkpoint of the history is a prefix of another, and check the proof.

        Raises:
            EvidenceError: the history has no checkpoint of such a size.
            ProofError: the log did not grow from the one to the other.
        """
        old, new = self._signed(old_size), self._signed(new_size)
        with LevelFiles(self.log / LEVELS) as levels:
            proof = consistency_proof(nodes_from(levels.read), old_size, new_size)
        check_consistency(old_size, new_size, old.root, new.root, proof)
        return proof

    def export(self, folder: Path, progress: Progress) -> Checkpoint:
        """Write the log as C2SP tlog-tiles has it, for any client of such logs.

        Raises:
            EvidenceError: the stream is damaged, or nothing was signed.
            EntryError: a record is longer than the format can say.
            OSError: it cannot be written.
        """
        checkpoint = self.checkpoint()
        with LevelFiles(self.log / LEVELS) as levels:
            for level, number, width in tiles_of(checkpoint.size):
                hashes = levels.read(level, number * TILE_WIDTH, width)
                _write(folder / tile_path(level, number, width), b"".join(hashes))
        waiting: list[bytes] = []
        number = 0
        for entries in self._entries(progress, checkpoint.size):
            if self.stream.unread:
                raise EvidenceError(f"not all records are there{self._unread()}")
            waiting += entries.records[: checkpoint.size - entries.first_offset]
            while len(waiting) >= TILE_WIDTH:
                _write(folder / tile_path("entries", number), pack_entries(waiting[:TILE_WIDTH]))
                number, waiting = number + 1, waiting[TILE_WIDTH:]
        if waiting:
            path = tile_path("entries", number, len(waiting))
            _write(folder / path, pack_entries(waiting))
        _write(folder / "checkpoint", self.note())
        return checkpoint

    def _signed(self, size: int) -> Checkpoint:
        nearest = 0
        for line in read_history(self.log / HISTORY):
            if line.size == size:
                note = Note.parse(line.note.encode())
                note.check(self.key)
                return Checkpoint.parse(note.text)
            nearest = max(nearest, line.size if line.size < size else 0)
        raise EvidenceError(
            f"no checkpoint of {size} records was signed; {nearest} comes before it"
        )

    def _entries(self, progress: Progress, size: int) -> Iterator[Entries]:
        findings = Findings()
        for entries in self.stream.entries(findings):
            if findings.found:
                break
            if entries.first_offset >= size:
                return
            progress(min(entries.first_offset + len(entries.records), size), size)
            yield entries
        if findings.found:
            raise EvidenceError(f"the stream is damaged: {findings.found[0]}")

    def _unread(self) -> str:
        """What an answer leaves out: records that are in an archive nobody has named."""
        if not self.stream.unread:
            return ""
        if self.stream.archived is not None:
            return f"; records before {self.stream.unread} are no longer in the archive"
        return f"; records before {self.stream.unread} are in the archive: see --archive"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
