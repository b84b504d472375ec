"""What a new writer finds in the folder, holds against what was acknowledged, and mends.

Only one thing is ever mended: the end of the newest segment, where a death may have torn a frame
that nobody was told of (`scan`). A segment that was sealed but not yet put away is put away, and
its successor begun. Everything else that is wrong is refused with file and offset: a stream whose
past changed must not grow.

What is looked at: the names, header and seal of every segment; of the newest one every byte; of
the one before it its digest. `verify` looks at every byte of all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import attrs

from chassis.log import get_logger
from ledger.stream.errors import StreamCorruptError
from ledger.stream.record import Mark, Position
from ledger.stream.segments.files import (
    SPARE,
    cut_tail,
    file_digest,
    list_segments,
    put_away,
    read_at,
    segment_path,
)
from ledger.stream.segments.format import (
    HEADER_BYTES,
    SEAL,
    SEAL_BYTES,
    FormatError,
    Frame,
    decode_frame,
)
from ledger.stream.segments.high_water import HighWater
from ledger.stream.segments.scan import DamageError, Tail, scan_header, scan_tail

_log = get_logger(__name__)


@attrs.frozen(kw_only=True)
class Found:
    """A stream as its newest segment leaves it.

    Attributes:
        segments: first offsets of all segments.
        tail: what the newest one holds; None if there is none.
        mark: how far the stream is; None if it was never written to.
        last: where its newest record came from.
        digest: of the newest segment where that is sealed, for its successor's header.
    """

    segments: Sequence[int]
    tail: Tail | None
    mark: Mark | None
    last: Position | None
    digest: bytes | None


def recover(folder: Path, *, shard: int, high_water: HighWater | None, segment_bytes: int) -> Found:
    """Look at a stream that nobody else writes to, and mend its end.

    Raises:
        StreamCorruptError: what was acknowledged is damaged or missing.
        StreamFullError: there is no room to mend the end.
        OSError: files cannot be read or written.
    """
    (folder / SPARE).unlink(missing_ok=True)  # perhaps half made; the writer makes another
    segments = list_segments(folder)
    newest = segments[-1] if segments else 0
    if high_water is not None and (not segments or high_water.segment > newest):
        missing = segment_path(folder, high_water.segment)
        raise StreamCorruptError(missing, 0, "the segment is missing, and was acknowledged")
    if not segments:
        return Found(segments=(), tail=None, mark=None, last=None, digest=None)
    predecessor = _check_chain(folder, shard, segments)
    acknowledged = 0
    if high_water is not None and high_water.segment == newest:
        acknowledged = high_water.end
    path = segment_path(folder, newest)
    try:
        tail = scan_tail(
            path.read_bytes(), shard=shard, first_offset=newest, acknowledged=acknowledged
        )
    except DamageError as damage:
        raise StreamCorruptError(path, damage.at, damage.reason) from None
    if len(segments) > 1 and tail.header.predecessor != file_digest(
        segment_path(folder, segments[-2])
    ):
        before = segment_path(folder, segments[-2])
        raise StreamCorruptError(
            before, 0, f"its digest is not the one that segment {newest} names"
        )
    _mend(path, tail, segment_bytes)
    frame = tail.last_frame or predecessor
    return Found(
        segments=segments,
        tail=tail,
        mark=frame.mark if frame else None,
        last=frame.last if frame else None,
        digest=file_digest(path) if tail.sealed else None,
    )


def read_seal(folder: Path, first_offset: int) -> Frame:
    """The seal at the end of a segment that is put away.

    Raises:
        StreamCorruptError: it does not end in one.
    """
    path = segment_path(folder, first_offset)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = max(os.fstat(descriptor).st_size - SEAL_BYTES, 0)
        frame, _, _ = decode_frame(read_at(descriptor, SEAL_BYTES, at))
    except FormatError as error:
        raise StreamCorruptError(path, at, f"ends without a seal: {error}") from None
    finally:
        os.close(descriptor)
    if frame.kind != SEAL:
        raise StreamCorruptError(path, at, "ends without a seal, yet another segment follows")
    return frame


def _check_chain(folder: Path, shard: int, segments: Sequence[int]) -> Frame | None:
    """Hold every segment but the newest to its name and to the next one's; the last seal."""
    seal: Frame | None = None
    for first_offset, following in pairwise(segments):
        path = segment_path(folder, first_offset)
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        try:
            scan_header(head, shard=shard, first_offset=first_offset)
        except DamageError as damage:
            raise StreamCorruptError(path, damage.at, damage.reason) from None
        seal = read_seal(folder, first_offset)
        if seal.next_offset != following:
            at = path.stat().st_size - SEAL_BYTES
            reason = f"ends at offset {seal.next_offset}, but the next segment is {following}"
            raise StreamCorruptError(path, at, reason)
    return seal


def _mend(path: Path, tail: Tail, segment_bytes: int) -> None:
    if not (tail.torn or tail.sealed):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if tail.torn:
            _log.warning(
                "stream tail cut", segment=tail.header.first_offset, at=tail.end, why="torn frame"
            )
            cut_tail(descriptor, tail.end, segment_bytes)
        else:
            put_away(descriptor, tail.end)
    finally:
        os.close(descriptor)
