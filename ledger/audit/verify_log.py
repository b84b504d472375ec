"""Hold the stream, the kept levels and every signature to each other: `turnout audit verify all`.

Theory of operation
-------------------
There are three accounts of one list of leaves: the records of the stream, the hashes of the kept
levels, and the roots that were signed. The tree is made anew from the records. Where a record's
hash is not the kept one, the signed roots say which of the two is wrong, so both trees are carried
on from there: a root that only the kept hashes lead to convicts the records, one that only the
records lead to convicts the levels, and one that neither leads to convicts the note or both.

What stands behind the last checkpoint is not signed yet: it is counted, not judged.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from attrs import define, field

from ledger.audit.findings import FINDINGS_MAX, Findings
from ledger.audit.level_files import HASHES_PER_FILE, LevelFileError, LevelFiles
from ledger.audit.levels import TILE_HEIGHT, TILE_WIDTH, Edge
from ledger.audit.log import LEVELS
from ledger.audit.merkle import HASH_BYTES
from ledger.audit.notes import Checkpoint, VerifierKey
from ledger.audit.segment_entries import Entries
from ledger.audit.signed_checkpoints import SignedCheckpoints

BATCH: Final = 64 * TILE_WIDTH  # leaves stepped over at once


class Verified(msgspec.Struct, frozen=True):
    """What was looked at.

    Attributes:
        leaves: in the stream.
        signed: of these under the last checkpoint.
        checkpoints: whose roots were computed anew.
        witnessed: leaves under the checkpoint that the witness cosigned last.
    """

    leaves: int
    signed: int
    checkpoints: int
    witnessed: int = 0


@define
class _Trees:
    """The tree of the records beside that of the kept hashes, while the two differ."""

    folder: Path
    findings: Findings
    levels: LevelFiles
    records: Edge = field(factory=Edge)
    kept: Edge | None = None  # a tree of its own from the first difference on
    suspects: list[tuple[str, str]] = field(factory=list)  # places of record and kept hash
    suspects_unnamed: int = 0

    def add(self, entries: Entries) -> None:
        """Add leaves to both trees, and note where they differ."""
        first = self.records.size
        hashes = [sha256(b"\x00" + record).digest() for record in entries.records]
        kept = self._kept(0, first, len(hashes))
        if kept != hashes:
            if self.kept is None:
                self.kept = copy.deepcopy(self.records)
            for index, (own, other) in enumerate(zip(hashes, kept, strict=True), first):
                if own == other:
                    continue
                if len(self.suspects) < FINDINGS_MAX:
                    self.suspects.append((entries.place(index), self._place(0, index)))
                else:
                    self.suspects_unnamed += 1
        if self.kept is not None:
            self.kept.append(kept)
        for level, added in enumerate(self.records.append(hashes)):
            if level and self.kept is None:
                self._compare_level(level, self.records.size >> TILE_HEIGHT * level, added)

    def skip(self, end: int) -> None:
        """Go on behind records that could not be read, and were named, with the kept hashes."""
        first = self.records.size
        for begin in range(first, end, BATCH):
            kept = self._kept(0, begin, min(BATCH, end - begin))
            for tree in (self.records, self.kept):
                if tree is not None:
                    tree.append(kept)

    def judge(self, checkpoint: Checkpoint, place: str) -> None:
        """Say who is wrong, now that a signed root of exactly these leaves is at hand."""
        by_records = self.records.root() == checkpoint.root
        by_kept = self.kept is not None and self.kept.root() == checkpoint.root
        for record, kept in self.suspects:
            if not by_records:
                self.findings.add("record", record, "this record is not the one that was signed")
            if not by_kept:
                self.findings.add("hash", kept, "this hash is not of the record that was signed")
        if not by_records and not self.suspects and not by_kept:
            reason = f"the stream does not lead to the root signed at {checkpoint.size}"
            self.findings.add("record", place, reason)
        self.findings.more(self.suspects_unnamed * ((not by_records) + (not by_kept)))
        if by_records:
            self.kept = None
        self.suspects.clear()
        self.suspects_unnamed = 0

    def _compare_level(self, level: int, end: int, added: Sequence[bytes]) -> None:
        first = end - len(added)
        for index, (own, other) in enumerate(
            zip(added, self._kept(level, first, len(added)), strict=True), first
        ):
            if own != other:
                reason = "this hash does not follow from those below it"
                self.findings.add("hash", self._place(level, index), reason)

    def _kept(self, level: int, first: int, count: int) -> list[bytes]:
        try:
            return self.levels.read(level, first, count)
        except LevelFileError as error:
            self.findings.add("hash", self._place(level, first), str(error))
            return [b""] * count

    def _place(self, level: int, index: int) -> str:
        path = self.levels.path(level, index)
        return f"{path}:{index % HASHES_PER_FILE * HASH_BYTES}"


def verify_log(
    folder: Path,
    key: VerifierKey,
    entries: Iterable[Entries],
    findings: Findings,
    *,
    witness: Path | None = None,
    witness_key: VerifierKey | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Hold a log to its stream.

    Args:
        folder: of the log.
        key: the log's.
        entries: the whole stream, as `read_entries` finds it.
        findings: what is wrong is added here.
        witness: the folder of a witness, whose cosigned checkpoint is held to the stream too.
        witness_key: its key; None believes the one that lies there.
        progress: hears how many leaves of how many signed ones are done.

    Raises:
        OSError: a file cannot be read.
    """
    signed = SignedCheckpoints(folder, key, findings, witness, witness_key)
    waiting = iter(signed)
    due = next(waiting, None)
    leaves = judged = 0
    with LevelFiles(folder / LEVELS) as levels:
        trees = _Trees(folder, findings, levels)
        for batch in entries:
            leaves = max(leaves, batch.first_offset + len(batch.records))
            rest = _behind(batch, trees.records.size, findings)
            while rest is not None and due is not None:
                now, rest = _split(rest, due[1].size)
                trees.skip(min(batch.first_offset, due[1].size))
                if now is not None:
                    trees.add(now)
                while due is not None and trees.records.size >= due[1].size:
                    trees.judge(due[1], due[0])
                    judged += 1
                    due = next(waiting, None)
            if progress is not None:
                progress(min(leaves, signed.expected), signed.expected)
        if due is not None:
            reason = f"{due[1].size} records were signed, and the stream has {trees.records.size}"
            findings.add("record", due[0], reason)
            deque(waiting, maxlen=0)  # their signatures are checked all the same
    return Verified(leaves, signed.size, judged, signed.witnessed)


def _behind(batch: Entries, size: int, findings: Findings) -> Entries | None:
    """What of a batch is new; whatever was there before is named."""
    if batch.first_offset >= size:
        return batch
    findings.add(
        "record", batch.place(batch.first_offset), f"record {batch.first_offset} stands here again"
    )
    return _split(batch, size)[1]


def _split(batch: Entries, size: int) -> tuple[Entries | None, Entries | None]:
    """Cut entries at the offset `size`."""
    count = size - batch.first_offset
    if count <= 0:
        return None, batch
    if count >= len(batch.records):
        return batch, None
    return batch.split(size)
