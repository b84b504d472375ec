"""What a segment's bytes hold, and whether a death tore its end. Pure: bytes in, findings out.

Theory of operation
-------------------
A frame is written only when the one before it is durable, and a reader, the relay's feedback and
every acknowledgment come only after that. So at most one frame of a stream can be torn, the last,
and it was never acknowledged. It may be cut off. Whatever else is damaged was acknowledged once:
that is corruption, which nothing here mends. Three signs tell the two apart, each enough by itself:

- the damage lies below what was published as durable (`acknowledged`);
- an undamaged frame follows it, so the damaged one had been made durable;
- the segment is sealed, or another follows it.

What lies behind the last frame must be zeros, as the space was allocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from ledger.stream.record import descriptor_id
from ledger.stream.segments.format import (
    FRAME_MAGIC,
    HEADER_BYTES,
    SEAL,
    FormatError,
    Frame,
    Header,
    decode_frame,
    decode_header,
    is_whole_frame,
)

_ZEROS: Final = bytes(65_536)


class DamageError(Exception):
    """A segment is damaged where it must not be.

    Attributes:
        at: byte offset of the damage.
        reason: what is wrong there.
    """

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"at byte {at}: {reason}")
        self.at = at
        self.reason = reason


@attrs.frozen(kw_only=True)
class Tail:
    """What the newest segment holds.

    Attributes:
        header: what it says of itself.
        end: where the next frame belongs.
        next_offset: of the next record.
        last_frame: the newest frame; None while there is none.
        descriptors: those it holds, by id.
        torn: whether bytes behind `end` must be cut off.
        sealed: whether it ends in a seal.
    """

    header: Header
    end: int
    next_offset: int
    last_frame: Frame | None
    descriptors: dict[bytes, bytes]
    torn: bool
    sealed: bool


def scan_header(data: bytes, *, shard: int, first_offset: int) -> Header:
    """Read a segment's header and hold it to where the segment was found.

    Raises:
        DamageError: it is damaged, or belongs elsewhere.
    """
    try:
        header = decode_header(data)
    except FormatError as error:
        raise DamageError(0, str(error)) from None
    if header.shard != shard:
        raise DamageError(8, f"a segment of shard {header.shard} among those of shard {shard}")
    if header.first_offset != first_offset:
        raise DamageError(12, f"begins at offset {header.first_offset}, not as it is named")
    return header


def frames(
    data: bytes, *, first_offset: int, at: int = HEADER_BYTES
) -> Iterator[tuple[int, Frame, list[bytes], list[bytes]]]:
    """Every frame with its place, descriptors and records, until zeros, the end or a seal.

    Raises:
        DamageError: what stands there is neither a frame that follows on nor the end.
    """
    expected = first_offset
    epoch = 0
    while data.startswith(FRAME_MAGIC, at) or not _is_zeros(data, at):
        try:
            frame, descriptors, records = decode_frame(data, at)
        except FormatError as error:
            raise DamageError(at, str(error)) from None
        if frame.first_offset != expected:
            raise DamageError(at, f"offset {frame.first_offset} where {expected} should follow")
        if frame.epoch < epoch:
            raise DamageError(at, f"epoch {frame.epoch} after epoch {epoch}")
        yield at, frame, descriptors, records
        at += frame.size
        expected = frame.next_offset
        epoch = frame.epoch
        if frame.kind == SEAL:
            return


def scan_tail(data: bytes, *, shard: int, first_offset: int, acknowledged: int) -> Tail:
    """Find the end of the newest segment.

    Args:
        data: the whole file.
        shard: the stream's.
        first_offset: by which the file is named.
        acknowledged: byte offset below which everything was published as durable.

    Raises:
        DamageError: something is damaged that was acknowledged.
    """
    header = scan_header(data, shard=shard, first_offset=first_offset)
    end, next_offset, newest = HEADER_BYTES, first_offset, None
    known: dict[bytes, bytes] = {}
    torn = False
    try:
        for at, frame, descriptors, _ in frames(data, first_offset=first_offset):
            known.update((descriptor_id(one), one) for one in descriptors)
            end, next_offset, newest = at + frame.size, frame.next_offset, frame
    except DamageError as damage:
        if damage.at < acknowledged:
            raise DamageError(damage.at, f"{damage.reason}, and it was acknowledged") from None
        if (whole := _whole_frame_after(data, damage.at)) is not None:
            reason = f"{damage.reason}, and an undamaged frame follows at byte {whole}"
            raise DamageError(damage.at, reason) from None
        torn = True
    sealed = newest is not None and newest.kind == SEAL
    if end < acknowledged:
        raise DamageError(end, f"ends here, but {acknowledged} bytes of it were acknowledged")
    if sealed and not _is_zeros(data, end):
        raise DamageError(end, "something stands behind the seal")
    return Tail(
        header=header,
        end=end,
        next_offset=next_offset,
        last_frame=newest,
        descriptors=known,
        torn=torn,
        sealed=sealed,
    )


def _whole_frame_after(data: bytes, at: int) -> int | None:
    """Where the first undamaged frame behind a damaged place begins, if there is one."""
    place = data.find(FRAME_MAGIC, at + 1)
    while place != -1:
        if is_whole_frame(data, place):
            return place
        place = data.find(FRAME_MAGIC, place + 1)
    return None


def _is_zeros(data: bytes, at: int) -> bool:
    """Whether nothing but zeros follows. Quick to say no."""
    while at < len(data):
        step = min(len(_ZEROS), len(data) - at)
        if data[at : at + step] != _ZEROS[:step]:
            return False
        at += step
    return True
