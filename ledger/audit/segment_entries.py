"""Every record of a stream of segments with the byte it stands at, damage included.

A reader of the stream stops at damage; a verification names it and goes on where it can: with the
next segment, whose name tells the offset of its first record. The chain of digests is checked on
the way, so a segment that was removed, put in, or swapped for another is found without a tree.

What the writer has published (`high-water`) is looked at before the segments are: all that must be
there is, whatever is written meanwhile. It may say too little, after a crash, and never too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ledger.audit.findings import Findings
from ledger.stream.errors import StreamCorruptError
from ledger.stream.segments.files import file_digest, list_segments, segment_path
from ledger.stream.segments.format import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    NO_PREDECESSOR,
    SEAL,
    FormatError,
    Frame,
    decode_header,
)
from ledger.stream.segments.high_water import NAME as HIGH_WATER
from ledger.stream.segments.high_water import SIZE as HIGH_WATER_BYTES
from ledger.stream.segments.high_water import HighWater, HighWaterFile
from ledger.stream.segments.scan import DamageError, frames, scan_header
from ledger.stream.segments.trim import Head

_LENGTH_BYTES = 4


class Entries(msgspec.Struct, frozen=True, gc=False):
    """Records that stand together.

    Attributes:
        first_offset: of the first of them in its stream: the index of its leaf.
        records: as they stand there.
        path: of their segment; the name of their object in an archive.
        at: the byte of the first of them; None in an archive, where records have no byte.
        descriptors: relation messages that came with them.
    """

    first_offset: int
    records: list[bytes]
    path: Path | str
    at: int | None
    descriptors: list[bytes]

    def place(self, offset: int) -> str:
        """File and byte of one of the records; in an archive the object and the offset."""
        if self.at is None:
            return f"{self.path}: record {offset}"
        before = self.records[: offset - self.first_offset]
        return f"{self.path}:{self.at + sum(map(len, before))}"

    def below(self, end: int) -> Entries:
        """Those of them whose offset is less than `end`."""
        if self.first_offset + len(self.records) <= end:
            return self
        records = self.records[: max(0, end - self.first_offset)]
        return msgspec.structs.replace(self, records=records)

    def split(self, end: int) -> tuple[Entries, Entries]:
        """Those below an offset that lies among them, and those from there on."""
        head = self.below(end)
        behind = None if self.at is None else self.at + sum(map(len, head.records))
        return head, Entries(end, self.records[len(head.records) :], self.path, behind, [])


def read_entries(
    folder: Path, shard: int, findings: Findings, *, head: Head | None = None
) -> Iterator[Entries]:
    """Read a stream's segments from the first that is there to the end.

    The stream may be written to meanwhile: what lies behind the end that was published is read as
    far as it is whole, and not judged.

    Args:
        folder: of the segments.
        shard: whose they must be.
        findings: what is wrong is added here.
        head: where they begin, if older ones were removed; one that is about to go is left out.

    Raises:
        OSError: a file cannot be read.
    """
    published = _published(folder, findings)
    begin = head.first_offset if head else 0
    segments = [one for one in list_segments(folder) if one >= begin]
    digest = bytes.fromhex(head.predecessor) if head else NO_PREDECESSOR
    if segments and segments[0] != begin:
        reason = (
            f"the records before it are not there; the stream began with {segments[0] - begin} more"
        )
        findings.add("segment", segment_path(folder, segments[0]), reason)
        head = None
    expected: int | None = None
    for index, first_offset in enumerate(segments):
        path = segment_path(folder, first_offset)
        is_last = index == len(segments) - 1
        if expected is not None and first_offset != expected:
            findings.add(
                "segment", path, f"begins at record {first_offset}, and {expected} should follow"
            )
        follows = index > 0 or head is not None
        _check_header(path, shard, first_offset, digest if follows else None, findings)
        digest = NO_PREDECESSOR if is_last else file_digest(path)
        expected = first_offset
        end, sealed = HEADER_BYTES, False
        data = path.read_bytes()
        try:
            for at, frame, descriptors, records in frames(data, first_offset=first_offset):
                expected, sealed, end = frame.next_offset, frame.kind == SEAL, at + frame.size
                if records:
                    begins = at + _records_at(frame, descriptors)
                    yield Entries(frame.first_offset, records, path, begins, descriptors)
        except DamageError as damage:
            if not _may_be_growing(published, first_offset, damage.at, is_last=is_last):
                findings.add("segment", f"{path}:{damage.at}", damage.reason)
        else:
            _check_end(path, data, end, sealed=sealed, is_last=is_last, findings=findings)
    if published is not None and (expected or 0) < published.next_offset:
        reason = f"{published.next_offset} records were published, and there are {expected or 0}"
        findings.add("segment", folder / HIGH_WATER, reason)


def _published(folder: Path, findings: Findings) -> HighWater | None:
    """What the writer has published; a file that is damaged or gone is named."""
    path = folder / HIGH_WATER
    try:
        file = HighWaterFile.to_look(folder)
    except FileNotFoundError:
        if list_segments(folder):
            findings.add("segment", path, "is missing")
        return None
    try:
        if path.stat().st_size > HIGH_WATER_BYTES:
            findings.add("segment", f"{path}:{HIGH_WATER_BYTES}", "something stands behind its end")
        return file.look()
    except StreamCorruptError as error:
        findings.add("segment", f"{path}:{error.at}", error.reason)
        return None
    finally:
        file.close()


def _may_be_growing(
    published: HighWater | None, first_offset: int, at: int, *, is_last: bool
) -> bool:
    """Whether a place lies where the writer may be at work, behind all that it has published."""
    if published is None or not is_last:
        return False
    return first_offset > published.segment or (
        first_offset == published.segment and at >= published.end
    )


def _check_end(
    path: Path, data: bytes, end: int, *, sealed: bool, is_last: bool, findings: Findings
) -> None:
    """A seal ends a segment, and only the newest may be without one."""
    if sealed and data[end:].strip(b"\0"):  # zeros: it is being cut to its length
        findings.add("segment", f"{path}:{end}", "something stands behind the seal")
    if not sealed and not is_last:
        findings.add("segment", f"{path}:{end}", "is not sealed, and another segment follows it")


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
