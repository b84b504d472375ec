"""Batches to frames and back, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from chassis.framing import FrameError, LengthFramer
from chassis.mux.errors import MuxMessageTooLargeError, MuxProtocolError
from chassis.settings.tree import MuxLimits

Body = TypeVar("Body")

ARRAY_HEADER_BYTES_MAX = 5  # msgpack array 32: a type byte and a 4-byte count
LENGTH_BYTES: Final = 4


class MessageEncoder:
    """One message to msgpack bytes, ready to be put in a frame with others."""

    __slots__ = ("_encode", "_message_bytes_max")

    def __init__(self, limits: MuxLimits) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._message_bytes_max = limits.frame_bytes_max - ARRAY_HEADER_BYTES_MAX

    def encode(self, request_id: int, body: Any) -> bytes:
        """The `[request_id, body]` pair.

        Raises:
            MuxMessageTooLargeError: alone it is larger than a frame.
        """
        message = self._encode((request_id, body))
        if len(message) > self._message_bytes_max:
            raise MuxMessageTooLargeError(
                f"{type(body).__name__} of {len(message)} bytes is above {self._message_bytes_max}"
            )
        return message


def frame_of(messages: Sequence[bytes]) -> bytes:
    """One frame of encoded messages: length, msgpack array header, messages."""
    count = len(messages)
    if count < 16:
        header = (0x90 | count).to_bytes(1, "big")
    elif count < 1 << 16:
        header = b"\xdc" + count.to_bytes(2, "big")
    else:
        header = b"\xdd" + count.to_bytes(4, "big")
    payload = b"".join(messages)
    return (len(header) + len(payload)).to_bytes(LENGTH_BYTES, "big") + header + payload


class BatchDecoder(Generic[Body]):
    """Received bytes to `(request_id, body)` pairs.

    Args:
        body_type: the tagged union of everything the peer may say.
        limits: bounds of a frame.
    """

    __slots__ = ("_decode", "_framer", "_messages_max")

    def __init__(self, body_type: Any, limits: MuxLimits) -> None:
        self._framer = LengthFramer(LENGTH_BYTES, limits.frame_bytes_max, frame_bytes_min=1)
        # The reason for naming the whole array: one call decodes and checks a whole batch.
        self._decode = msgspec.msgpack.Decoder(list[tuple[int, body_type]]).decode
        self._messages_max = limits.messages_per_frame_max

    def feed(self, data: bytes) -> list[tuple[int, Body]]:
        """All messages of the frames that `data` completes, in order.

        Raises:
            MuxProtocolError: length out of bounds, not msgpack, not of the agreed types, or too
                many messages in a frame. What the frame held is not shown.
        """
        try:
            frames = self._framer.feed(data)
        except FrameError as error:
            raise MuxProtocolError(str(error)) from None
        messages: list[tuple[int, Body]] = []
        for position, frame in enumerate(frames):
            try:
                batch = self._decode(frame)
            except msgspec.MsgspecError:
                # The original error may quote a value: it is dropped, with its place kept.
                reason = "not a batch of the agreed types"
            else:
                if len(batch) <= self._messages_max:
                    messages += batch
                    continue
                reason = f"{len(batch)} messages, more than {self._messages_max}"
            number = self._framer.frames_total - len(frames) + position + 1
            raise MuxProtocolError(f"frame {number} of {len(frame)} bytes: {reason}")
        return messages

    def close(self) -> None:
        """Say that the stream ended; raises MuxProtocolError if inside a frame."""
        try:
            self._framer.close()
        except FrameError as error:
            raise MuxProtocolError(str(error)) from None
