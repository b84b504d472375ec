"""What both ends of a mux connection do alike: read, write, stop, count."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from chassis.mux.codec import BatchDecoder
from chassis.mux.errors import MuxProtocolError
from chassis.mux.outbox import Outbox

Body = TypeVar("Body")

STREAM_ERRORS = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class MuxCounters:
    """Plain totals of one client or server, since its process started."""

    __slots__ = (
        "connections_total",
        "dropped_total",
        "frames_total",
        "late_total",
        "overload_total",
        "protocol_errors_total",
        "received_total",
        "refused_total",
        "sent_total",
    )

    def __init__(self) -> None:
        self.connections_total = 0
        self.dropped_total = 0  # replies for a peer that has gone
        self.frames_total = 0  # sent; sent_total / frames_total is the mean batch
        self.late_total = 0  # replies nobody waits for any more
        self.overload_total = 0  # requests or connections over a bound of ours
        self.protocol_errors_total = 0
        self.received_total = 0
        self.refused_total = 0  # connections of strangers
        self.sent_total = 0


class Connection:
    """One stream with its outbox, from its start to its end.

    Attributes:
        ended: why it ended, for the log; empty while it lives.
    """

    __slots__ = ("_scope", "_stream", "ended", "outbox")

    def __init__(self, stream: trio.abc.Stream, outbox: Outbox) -> None:
        self._stream = stream
        self._scope = trio.CancelScope()
        self.outbox = outbox
        self.ended = ""

    def end(self, reason: str) -> None:
        """Stop both directions; the first reason stands."""
        self.ended = self.ended or reason
        self._scope.cancel()

    async def run(
        self,
        decoder: BatchDecoder[Body],
        on_messages: Callable[[list[tuple[int, Body]]], None],
        *,
        receive_bytes: int,
        counters: MuxCounters,
    ) -> None:
        """Read and write until either side ends, then close the stream.

        `on_messages` gets all that one read completed, and may raise MuxProtocolError.
        """
        counters.connections_total += 1
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read(decoder, on_messages, receive_bytes)
        except* MuxProtocolError as group:
            counters.protocol_errors_total += 1
            self.end(f"protocol error: {group.exceptions[0]}")
        finally:
            counters.frames_total += self.outbox.frames_total
            await trio.aclose_forcefully(self._stream)

    async def _read(
        self,
        decoder: BatchDecoder[Body],
        on_messages: Callable[[list[tuple[int, Body]]], None],
        receive_bytes: int,
    ) -> None:
        receive = self._stream.receive_some
        while True:
            try:
                data = await receive(receive_bytes)
            except STREAM_ERRORS as error:
                self.end(f"receiving failed: {type(error).__name__}")
                return
            if not data:
                decoder.close()
                self.end("closed by the peer")
                return
            messages = decoder.feed(bytes(data))
            if messages:
                on_messages(messages)

    async def _write(self) -> None:
        try:
            await self.outbox.write_to(self._stream)
        except STREAM_ERRORS as error:
            self.end(f"sending failed: {type(error).__name__}")
