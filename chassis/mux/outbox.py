"""What waits to be sent on one connection, and the task that sends it."""

from __future__ import annotations

from itertools import islice

import trio

from chassis.bell import Bell
from chassis.mux.codec import ARRAY_HEADER_BYTES_MAX, frame_of
from chassis.mux.errors import MuxOverloadError
from chassis.settings.tree import MuxLimits


class Outbox:
    """Encoded messages in the order they were put, bounded in number and bytes.

    Attributes:
        frames_total: frames handed to the stream so far.
    """

    __slots__ = ("_bell", "_bytes", "_limits", "_messages", "frames_total")

    def __init__(self, limits: MuxLimits) -> None:
        self._limits = limits
        self._messages: list[bytes] = []
        self._bytes = 0
        self._bell = Bell()
        self.frames_total = 0

    def __len__(self) -> int:
        """Messages waiting now."""
        return len(self._messages)

    def put(self, message: bytes) -> None:
        """Queue one message and wake the writer, which runs in the next tick.

        Raises:
            MuxOverloadError: a bound is reached; nothing was queued.
        """
        size = self._bytes + len(message)
        if (
            size > self._limits.outbox_bytes_max
            or len(self._messages) >= self._limits.outbox_messages_max
        ):
            raise MuxOverloadError(f"outbox holds {len(self._messages)} messages")
        self._messages.append(message)
        self._bytes = size
        self._bell.ring()

    async def write_to(self, stream: trio.abc.SendStream) -> None:
        """Send what is put, batch after batch, until canceled or the stream breaks."""
        while True:
            if not self._messages:
                await self._bell.wait()
            self.frames_total += 1
            await stream.send_all(frame_of(self._take()))

    def _take(self) -> list[bytes]:
        """As many messages as one frame may hold, oldest first."""
        messages = self._messages
        count_max = self._limits.messages_per_frame_max
        room = self._limits.frame_bytes_max - ARRAY_HEADER_BYTES_MAX
        if len(messages) <= count_max and self._bytes <= room:
            self._messages = []
            self._bytes = 0
            return messages
        count = taken = 0
        for message in islice(messages, count_max):
            if taken + len(message) > room:
                break
            taken += len(message)
            count += 1
        self._messages = messages[count:]
        self._bytes -= taken
        return messages[:count]
