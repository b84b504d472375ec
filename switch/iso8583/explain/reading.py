"""Bytes of which nobody said whether they are a message or a frame around one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from chassis.framing import FrameError
from switch.dialects import Framing
from switch.dialects.framings import HEADER_BYTES, LENGTH_MAX, TRAILER_BYTES
from switch.iso8583.dialect import Dialect
from switch.iso8583.explain.hints import hints
from switch.iso8583.explain.rows import Explanation, explain
from switch.iso8583.framing import Returned, framer_for
from switch.iso8583.framing.headers import VIP_BYTES, VIP_RETURNED_BYTES

DATA_BYTES_MAX: Final = 65_536  # what a person looks at; every message of a dialect is shorter
_ADDRESSES: Final = {"none": "", "tpdu": "0000", "vip": "000000"}


@attrs.frozen
class Reading:
    """What some bytes are.

    Attributes:
        framing: the frame around the message; None for a bare message.
        offset: the byte where the message begins.
        explanation: of the message.
        hints: what may be the matter, or is worth knowing; one sentence each.
        frame_fault: why the bytes are not the one frame that they should be; empty if they are.
    """

    framing: Framing | None
    offset: int
    explanation: Explanation
    hints: tuple[str, ...]
    frame_fault: str = ""

    @property
    def ok(self) -> bool:
        """Whether the bytes are a message of the dialect."""
        return self.explanation.error is None and not self.frame_fault


def read(dialect: Dialect, data: bytes, *, framed: bool | None = None) -> Reading:
    """Explain bytes in a dialect.

    Args:
        dialect: to read them in.
        data: one message or one frame.
        framed: whether a frame of the dialect's framing stands around the message; None = find
            out, also other framings of the catalog.
    """
    if framed is True:
        return _take_frame(dialect, data)
    bare = _reading(dialect, None, data, 0, ())
    if framed is False or bare.explanation.error is None:
        return bare
    return _find_frame(dialect, data) or bare


def framing_words(framing: Framing | None) -> str:
    """Name a framing: its length, and header and trailer where it has them."""
    if framing is None:
        return "none"
    parts = [framing.length, framing.header, framing.trailer]
    return " + ".join(part for part in parts if part != "none")


def _take_frame(dialect: Dialect, data: bytes) -> Reading:
    try:
        message, offset, notes = _unwrap(dialect.framing, data)
    except FrameError as error:
        fault = str(error)
    else:
        return _reading(dialect, dialect.framing, message, offset, notes)
    bare = _reading(dialect, None, data, 0, ())
    notes = ("without a frame it is a message: try --unframed",) if bare.ok else bare.hints
    return Reading(None, 0, Explanation((), None), notes, fault)


def _reading(
    dialect: Dialect, framing: Framing | None, message: bytes, offset: int, notes: tuple[str, ...]
) -> Reading:
    explanation = explain(dialect, message)
    if explanation.error is not None:
        notes += tuple(hints(dialect, message, explanation.error))
    return Reading(framing, offset, explanation, notes)


def _find_frame(dialect: Dialect, data: bytes) -> Reading | None:
    """Take off the frame that makes the rest a message, or else the dialect's own if it fits."""
    fitting: Reading | None = None
    for framing in _framings(dialect):
        try:
            message, offset, notes = _unwrap(framing, data)
        except FrameError:
            continue
        own = framing == dialect.framing
        if not own:
            notes += (f"framed as {framing_words(framing)}, which is not the dialect's framing",)
        reading = _reading(dialect, framing, message, offset, notes)
        if reading.explanation.error is None:
            return reading
        if own:
            fitting = reading
    return fitting


def _framings(dialect: Dialect) -> Iterator[Framing]:
    """The dialect's own framing, then the catalog."""
    yield dialect.framing
    for length in LENGTH_MAX:
        for header in HEADER_BYTES:
            for trailer in TRAILER_BYTES:
                address = _ADDRESSES[header]
                yield Framing(length, DATA_BYTES_MAX, header, trailer, address, address)


def _unwrap(framing: Framing, data: bytes) -> tuple[bytes, int, tuple[str, ...]]:
    """Take the message out of one whole frame.

    Returns:
        The message, the byte where it begins, and what its header says that one should know.

    Raises:
        FrameError: it is no frame of this framing, or not one and whole.
    """
    framer = framer_for(framing, min(DATA_BYTES_MAX, framing.message_bytes_max))
    frames = framer.feed(data)
    if framer.broken is not None:
        raise framer.broken
    framer.close()
    if len(frames) != 1:
        raise FrameError(f"{len(frames)} frames: decode one at a time")
    [frame] = frames
    offset = len(data) - len(frame) - TRAILER_BYTES[framing.trailer]
    if isinstance(frame, Returned):
        inner = VIP_RETURNED_BYTES + VIP_BYTES
        note = f"returned by the network with reject code {frame.reject_code}"
        return bytes(frame[inner:]), offset + inner, (note,)
    return bytes(frame), offset, ()
