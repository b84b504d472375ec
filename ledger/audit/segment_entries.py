"""Every record of a stream of segments with the byte it stands at, damage included.

A reader of the stream stops at damage; a verification names it and goes on where it can: with the
next segment, whose name tells the offset of its first record. The chain of digests is checked on
the way, so a segment that was removed, put in, or swapped for another is found without a tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ledger.audit.findings import Findings
from ledger.stream.segments.files import file_digest, list_segments, segment_path
from ledger.stream.segments.format import (
    FRAME_HEAD_BYTES,
    NO_PREDECESSOR,
    SEAL,
    FormatError,
    Frame,
    decode_header,
)
from ledger.stream.segments.scan import DamageError, frames, scan_header

_LENGTH_BYTES = 4


class Entries(msgspec.Struct, frozen=True, gc=False):
    """Records that stand together.

    Attributes:
        first_offset: of the first of them in its stream: the index of its leaf.
        records: as they stand there.
        path: of their segment.
        at: the byte of the first of them.
        descriptors: relation messages that came with them.
    """

    first_offset: int
    records: list[bytes]
    path: Path
    at: int
    descriptors: list[bytes]

    def place(self, offset: int) -> str:
        """File and byte of one of the records."""
        before = self.records[: offset - self.first_offset]
        return f"{self.path}:{self.at + sum(map(len, before))}"


def read_entries(folder: Path, shard: int, findings: Findings) -> Iterator[Entries]:
    """Read a stream's segments from the first that is there to the end.

    Raises:
        OSError: a file cannot be read.
    """
    segments = list_segments(folder)
    expected: int | None = None
    digest = NO_PREDECESSOR
    for index, first_offset in enumerate(segments):
        path = segment_path(folder, first_offset)
        is_last = index == len(segments) - 1
        if expected is not None and first_offset != expected:
            findings.add(
                "segment", path, f"begins at record {first_offset}, and {expected} should follow"
            )
        _check_header(path, shard, first_offset, digest if index else None, findings)
        digest = NO_PREDECESSOR if is_last else file_digest(path)
        expected = first_offset
        sealed = False
        try:
            for at, frame, descriptors, records in frames(
                path.read_bytes(), first_offset=first_offset
            ):
                expected, sealed = frame.next_offset, frame.kind == SEAL
                if records:
                    begins = at + _records_at(frame, descriptors)
                    yield Entries(frame.first_offset, records, path, begins, descriptors)
        except DamageError as damage:
            findings.add("segment", f"{path}:{damage.at}", damage.reason)
        else:
            if not sealed and not is_last:
                findings.add("segment", path, "is not sealed, and another segment follows it")


def _check_header(
    path: Path, shard: int, first_offset: int, predecessor: bytes | None, findings: Findings
) -> None:
    with path.open("rb") as file:
        head = file.read(64)
    try:
        scan_header(head, shard=shard, first_offset=first_offset)
        header = decode_header(head)
    except DamageError as damage:
        findings.add("segment", f"{path}:{damage.at}", damage.reason)
    except FormatError as error:
        findings.add("segment", path, str(error))
    else:
        if predecessor is not None and header.predecessor != predecessor:
            findings.add(
                "segment", f"{path}:28", "the segment before it is not the one it was written after"
            )


def _records_at(frame: Frame, descriptors: list[bytes]) -> int:
    lengths = _LENGTH_BYTES * (frame.record_count + frame.descriptor_count)
    return FRAME_HEAD_BYTES + lengths + sum(map(len, descriptors))
