"""Length-prefixed frames on a byte stream: cutting and wrapping, without I/O.

Theory of operation. `Framer.feed` takes whatever a read returned, from one byte to hundreds of
merged frames, and returns the whole frames in order. The usual read ends on a frame boundary and
is cut straight out of the received bytes; only a cut frame is kept, in a buffer that grows without
copying itself again for every byte. `LengthFramer` knows one form of a frame: a big-endian length
of 2 or 4 bytes that counts the frame without itself (jPOS PostChannel and RawChannel), then the
frame. The others that card networks use are `switch.iso8583.framing`'s.

A length outside the bounds is refused before anything is allocated for it. Where a stream has lost
its framing there is no guessing where the next frame starts: the framer stays broken and the
connection must be closed. Frames that arrived whole ahead of the fault are still good and are
returned; the error is raised by the next call, and `broken` tells of it at once.

`FrameTimer` bounds how long a started frame may take, against peers that send a byte now and then.
It is asked by one periodic timer per connection, so that no deadline is set up per frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import IntEnum
from typing import Literal


class FrameError(Exception):
    """The stream is not framed as agreed; `str()` gives place and reason, never the data."""


class FramePhase(IntEnum):
    """What of the next frame has arrived."""

    NOTHING = 0
    HEADER = 1  # a part of the length
    BODY = 2  # the length, and a part of the frame or nothing of it


class Framer(ABC):
    """One direction of one connection; a subclass knows the form of a frame.

    Args:
        header_bytes: what must have arrived before the length of a frame is known.

    Attributes:
        frames_total: whole frames cut so far.
        broken: the fault that ended this stream, or None.
    """

    __slots__ = ("_buffer", "_header_bytes", "_needed", "broken", "frames_total")

    def __init__(self, header_bytes: int) -> None:
        self._header_bytes = header_bytes
        self._buffer = bytearray()
        self._needed = header_bytes  # bytes the buffer must hold before anything can be cut
        self.frames_total = 0
        self.broken: FrameError | None = None

    @abstractmethod
    def wrap(self, frame: bytes, answering: bytes = b"") -> bytes:
        """Make a frame fit for the stream.

        Args:
            frame: what the peer's `feed` shall return.
            answering: the frame that this one answers, as `feed` returned it: where frames carry
                addresses, the answer's are those of the question turned round.

        Raises:
            FrameError: the frame is outside the bounds: our fault, nothing may be sent.
        """

    @abstractmethod
    def _cut(self, data: bytes) -> list[bytes]:
        """Cut the whole frames out of `data`, keep the rest; sets `broken` at a fault."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take what was read, return the frames it completed.

        Raises:
            FrameError: a length is out of bounds, now or in an earlier call.
        """
        self._check()
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        frames = self._cut(data)
        self.frames_total += len(frames)
        if not frames:
            self._check()
        return frames

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _keep(self, data: bytes, needed: int) -> None:
        """Keep the bytes of a frame that is not whole, until there are `needed` of them."""
        self._buffer += data
        self._needed = needed

    @property
    def phase(self) -> FramePhase:
        """How far the next frame has come."""
        held = len(self._buffer)
        if not held:
            return FramePhase.NOTHING
        return FramePhase.HEADER if held < self._header_bytes else FramePhase.BODY

    def close(self) -> None:
        """Say that the stream has ended.

        Raises:
            FrameError: it ended inside a frame.
        """
        if self._buffer:
            raise FrameError(
                f"frame {self.frames_total + 1}: the stream ended after {len(self._buffer)} of"
                f" {self._needed} bytes"
            )

    def wrap_many(self, frames: Iterable[bytes]) -> bytes:
        """Wrap frames one after the other into one chunk; raises as `wrap` does."""
        wrap = self.wrap
        return b"".join([wrap(frame) for frame in frames])


class LengthFramer(Framer):
    """Frames behind a big-endian length that excludes itself.

    Args:
        header_bytes: size of the length prefix.
        frame_bytes_max: the longest frame accepted or wrapped; at most what the prefix can say.
        frame_bytes_min: the shortest; 0 lets empty frames through, which some hosts send to
            keep a connection alive and which the caller must never echo.
    """

    __slots__ = ("_frame_bytes_max", "_frame_bytes_min")

    def __init__(
        self, header_bytes: Literal[2, 4], frame_bytes_max: int, *, frame_bytes_min: int = 0
    ) -> None:
        if not 0 <= frame_bytes_min <= frame_bytes_max < 1 << 8 * header_bytes:
            raise ValueError(f"frame bounds do not fit a length of {header_bytes} bytes")
        super().__init__(header_bytes)
        self._frame_bytes_max = frame_bytes_max
        self._frame_bytes_min = frame_bytes_min

    def _cut(self, data: bytes) -> list[bytes]:
        header_bytes = self._header_bytes
        shortest, longest = self._frame_bytes_min, self._frame_bytes_max
        frames: list[bytes] = []
        offset, end = 0, len(data)
        needed = header_bytes
        while (start := offset + header_bytes) <= end:
            length = int.from_bytes(data[offset:start], "big")
            if length > longest or length < shortest:
                # The usual mistake of a peer's settings: four digits where we expect two bytes.
                spelled = ", and spells ASCII digits" if data[offset:start].isdigit() else ""
                self.broken = FrameError(
                    f"frame {self.frames_total + len(frames) + 1}: length {length} is outside"
                    f" {shortest}..{longest}{spelled}"
                )
                return frames
            stop = start + length
            if stop > end:
                needed += length
                break
            frames.append(data[start:stop])
            offset = stop
        if offset < end:
            self._keep(data[offset:] if offset else data, needed)
        return frames

    def wrap(self, frame: bytes, answering: bytes = b"") -> bytes:  # noqa: ARG002  no addresses
        """Put the length before a frame.

        Raises:
            FrameError: the frame is outside the bounds: our fault, nothing may be sent.
        """
        length = len(frame)
        if not self._frame_bytes_min <= length <= self._frame_bytes_max:
            raise FrameError(
                f"a frame of {length} bytes is outside"
                f" {self._frame_bytes_min}..{self._frame_bytes_max}"
            )
        return length.to_bytes(self._header_bytes, "big") + frame


class FrameTimer:
    """How long the frame now arriving may still take.

    Args:
        framer: the framer it watches.
        header_timeout_s: from the first byte of a length to the whole length.
        body_timeout_s: from the whole length to the whole frame.
    """

    __slots__ = ("_body_timeout_s", "_framer", "_header_timeout_s", "_seen", "_since")

    def __init__(self, framer: Framer, *, header_timeout_s: float, body_timeout_s: float) -> None:
        self._framer = framer
        self._header_timeout_s = header_timeout_s
        self._body_timeout_s = body_timeout_s
        self._seen = (0, FramePhase.NOTHING)
        self._since = 0.0

    def observe(self, now: float) -> None:
        """Note the state after a read; `now` is monotonic seconds."""
        seen = (self._framer.frames_total, self._framer.phase)
        if seen != self._seen:
            self._seen = seen
            self._since = now

    def overdue(self, now: float) -> FramePhase:
        """The part that should have arrived by `now`, NOTHING while all is well."""
        phase = self._seen[1]
        if phase is FramePhase.NOTHING:
            return phase
        timeout_s = self._header_timeout_s if phase is FramePhase.HEADER else self._body_timeout_s
        return phase if now - self._since > timeout_s else FramePhase.NOTHING
