"""A sealed segment taken apart so that it can be put together again, byte for byte. Pure.

A segment is a header, frames and a seal (`ledger.stream.segments.format`). The records go into one
table of the archive; what stands around them, the frames' heads and descriptors, into another. All
that a frame's bytes hold beyond these follows from them: lengths and CRCs.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from ledger.archive.errors import ArchiveError
from ledger.stream.record import Mark, Position
from ledger.stream.segments.format import SEAL, Header, encode_frame, encode_header
from ledger.stream.segments.scan import DamageError, frames, scan_header


class FrameHead(msgspec.Struct, frozen=True, gc=False):
    """A frame without its records.

    Attributes:
        kind: batch or seal.
        record_count: how many of the segment's records are its own.
        last: where the newest record up to its end came from; None if there is none yet.
        epoch: the writer's.
        mark: what the stream had taken in with it.
        descriptors: relation messages that stand in it.
    """

    kind: int
    record_count: int
    last: Position | None
    epoch: int
    mark: Mark
    descriptors: list[bytes]


class Sealed(msgspec.Struct, frozen=True):
    """A whole segment.

    Attributes:
        header: its first 64 bytes.
        frames: in their order, the seal last.
        records: of all frames, in their order.
        digest: SHA-256 of the file.
        size: of the file, in bytes.
    """

    header: Header
    frames: list[FrameHead]
    records: list[bytes]
    digest: bytes
    size: int

    @property
    def end_offset(self) -> int:
        """The offset behind its last record."""
        return self.header.first_offset + len(self.records)


def take_apart(data: bytes, *, shard: int, first_offset: int) -> Sealed:
    """Read a sealed segment.

    Args:
        data: the whole file.
        shard: whose stream it is in.
        first_offset: by which it is named.

    Raises:
        ArchiveError: it is damaged, has no seal, or has something behind it.
    """
    name = f"segment {first_offset}"
    heads: list[FrameHead] = []
    records: list[bytes] = []
    end = 0
    try:
        header = scan_header(data, shard=shard, first_offset=first_offset)
        for at, frame, descriptors, of_frame in frames(data, first_offset=first_offset):
            heads.append(
                FrameHead(
                    frame.kind, len(of_frame), frame.last, frame.epoch, frame.mark, descriptors
                )
            )
            records += of_frame
            end = at + frame.size
    except DamageError as damage:
        raise ArchiveError(f"{name} {damage}") from None
    if not heads or heads[-1].kind != SEAL:
        raise ArchiveError(f"{name} is not sealed")
    if end != len(data):
        raise ArchiveError(f"{name} at byte {end}: something stands behind the seal")
    return Sealed(header, heads, records, sha256(data).digest(), len(data))


def put_together(header: Header, heads: Sequence[FrameHead], records: Sequence[bytes]) -> bytes:
    """Make the file again.

    Raises:
        ArchiveError: the frames and the records do not fit each other.
    """
    parts = [encode_header(header)]
    done = 0
    for head in heads:
        of_frame = records[done : done + head.record_count]
        parts.append(
            encode_frame(
                first_offset=header.first_offset + done,
                records=of_frame,
                descriptors=head.descriptors,
                last=head.last,
                epoch=head.epoch,
                mark=head.mark,
                kind=head.kind,
            )
        )
        done += head.record_count
    if done != len(records):
        raise ArchiveError(f"the frames hold {done} records, and there are {len(records)}")
    return b"".join(parts)
