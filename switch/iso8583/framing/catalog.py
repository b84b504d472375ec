"""The framer of any framing, put together from its parts, and the choice of the fastest one.

A plain length of two or four bytes is cut by `LengthFramer`, the hot path; all others by
`CatalogFramer`, which costs about a microsecond a frame more. Both hold the same rules: a length is
checked before anything is allocated for it, whatever does not fit the form ends the stream, and a
length of zero is a frame of nothing, which peers send to keep a connection alive.
"""

from __future__ import annotations

from typing import Final

from chassis.framing import FrameError, Framer, LengthFramer
from switch.dialects import Framing
from switch.dialects.framings import LENGTH_MAX, TRAILER_BYTES
from switch.iso8583.framing.headers import VIP_RETURNED_BYTES, Returned, header_for
from switch.iso8583.framing.lengths import LENGTHS

ETX: Final = b"\x03"


def framer_for(
    framing: Framing,
    frame_bytes_max: int,
    *,
    frame_bytes_min: int = 0,
    network_side: bool = False,
) -> Framer:
    """Make the framer for one direction of one connection.

    Args:
        framing: of a checked dialect.
        frame_bytes_max: the longest message; where the dialect's own bound is lower, that holds.
        frame_bytes_min: the shortest; 0 lets frames of nothing through.
        network_side: whether this end is the network's, which matters to addresses in headers.
    """
    longest = min(frame_bytes_max, framing.frame_bytes_max)
    if framing.header == "none" and framing.trailer == "none":
        if framing.length == "binary2":
            return LengthFramer(2, longest, frame_bytes_min=frame_bytes_min)
        if framing.length == "binary4":
            return LengthFramer(4, longest, frame_bytes_min=frame_bytes_min)
    return CatalogFramer(
        framing, longest, frame_bytes_min=frame_bytes_min, network_side=network_side
    )


class CatalogFramer(Framer):
    """Cuts and wraps frames of any form in the catalog.

    Args:
        framing: the form.
        frame_bytes_max: the longest message, without header and trailer.
        frame_bytes_min: the shortest.
        network_side: whether this end is the network's.

    `feed` returns messages without what stood around them; where there are headers, as
    `Enveloped`, which `wrap` takes to address the answer.
    """

    __slots__ = ("_bodies_max", "_frame_bytes_max", "_frame_bytes_min", "_header", "_length",
                 "_overhead", "_trailer")  # fmt: skip

    def __init__(
        self,
        framing: Framing,
        frame_bytes_max: int,
        *,
        frame_bytes_min: int = 0,
        network_side: bool = False,
    ) -> None:
        if not 0 <= frame_bytes_min <= frame_bytes_max <= framing.message_bytes_max:
            raise ValueError(f"frame bounds do not fit a length of kind {framing.length}")
        self._length = LENGTHS[framing.length]
        super().__init__(self._length.size)
        self._header = header_for(framing, network_side=network_side)
        self._trailer = ETX[: TRAILER_BYTES[framing.trailer]]
        self._overhead = framing.overhead_bytes
        self._frame_bytes_max = frame_bytes_max
        self._frame_bytes_min = frame_bytes_min
        returned = VIP_RETURNED_BYTES if framing.header == "vip" else 0
        self._bodies_max = min(
            self._overhead + frame_bytes_max + returned, LENGTH_MAX[framing.length]
        )

    def _cut(self, data: bytes) -> list[bytes]:
        size = self._header_bytes
        frames: list[bytes] = []
        offset, end = 0, len(data)
        needed = size
        try:
            while (start := offset + size) <= end:
                prefix = data[offset:start]
                stop = start + self._body_bytes(prefix)
                if stop > end:
                    needed = stop - offset
                    break
                body = data[start:stop]
                frames.append(b"" if self._length.control(prefix) else self._open(body))
                offset = stop
        except FrameError as error:
            self.broken = FrameError(f"frame {self.frames_total + len(frames) + 1}: {error}")
            return frames
        if offset < end:
            self._keep(data[offset:], needed)
        return frames

    def _body_bytes(self, prefix: bytes) -> int:
        """How many bytes follow a length; refuses what is out of bounds."""
        length = self._length
        own = length.size if length.counts_itself else 0
        said = length.read(prefix)
        least = self._overhead + self._frame_bytes_min
        if length.control(prefix) or (said == own and self._frame_bytes_min == 0):
            least = 0
        if not least <= said - own <= self._bodies_max:
            raise FrameError(f"length {said} is outside {least + own}..{self._bodies_max + own}")
        return said - own

    def _open(self, body: bytes) -> bytes:
        """Take off what stands around a message."""
        if not body:
            return body
        if not body.endswith(self._trailer):
            raise FrameError("the last byte is not ETX")
        message = body[: len(body) - len(self._trailer)]
        if self._header is not None:
            message = self._header.open(message)
        if len(message) > self._frame_bytes_max and not isinstance(message, Returned):
            raise FrameError(f"a message of {len(message)} bytes is over {self._frame_bytes_max}")
        return message

    def wrap(self, frame: bytes, answering: bytes = b"") -> bytes:
        """Put length, header and trailer around a message.

        Raises:
            FrameError: the message is outside the bounds: our fault, nothing may be sent.
        """
        if not self._frame_bytes_min <= len(frame) <= self._frame_bytes_max:
            raise FrameError(
                f"a frame of {len(frame)} bytes is outside"
                f" {self._frame_bytes_min}..{self._frame_bytes_max}"
            )
        body = frame
        if frame:
            header = b"" if self._header is None else self._header.make(len(frame), answering)
            body = header + frame + self._trailer
        length = self._length
        own = length.size if length.counts_itself else 0
        return length.write(len(body) + own) + body
