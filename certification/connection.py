"""One connection of a played network: reads frames, sends what it is given, well-formed or not."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Mapping
from typing import Final, Protocol

import trio

from chassis.framing import FrameError
from chassis.settings import Network
from chassis.tls_stream import TLSStream
from network_sim.session import Session
from switch.iso8583 import Dialect
from switch.iso8583.framing import framer_for

CLOSE_TIMEOUT_S: Final = 1.0
OUTBOX_MAX: Final = 65_536  # chunks; a case sends far fewer
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Owner(Protocol):
    """What a connection needs of the network whose it is: `certification.network` has it."""

    settings: Network
    dialect: Dialect

    def new_session(self) -> Session:
        """The state of a new connection."""

    def pack(self, fields: Mapping[int, str], /) -> bytes:
        """A message as its frame holds it."""

    def received(self, connection: Connection, frame: bytes, /) -> None:
        """React to one frame."""

    def note(self, connection: int, text: str, /) -> None:
        """Note an event."""

    def noted(
        self, connection: int, fields: Mapping[int, str], /, *, sent: bool, note: str = ""
    ) -> None:
        """Note a message."""


class Connection:
    """An acquirer's connection after its handshake.

    Args:
        number: of the connection on its network, from 1.
        stream: of TLS.
        handle: a second handle of its TCP socket, for what TLS cannot do.
        network: whose it is.

    Attributes:
        session: the acquirer's.
        reading: clear it (`stall`) to stop reading.
    """

    def __init__(
        self, number: int, stream: TLSStream, handle: socket.socket, network: Owner
    ) -> None:
        self.number = number
        self.stream = stream
        self._handle = handle
        self.session = network.new_session()
        self.reading = trio.Event()
        self.reading.set()
        self._network = network
        self._framer = framer_for(
            network.dialect.framing, network.settings.frame_bytes_max, network_side=True
        )
        self._outbox, self._taken = trio.open_memory_channel[tuple[bytes, float]](OUTBOX_MAX)
        self._scope = trio.CancelScope()
        self._ended = ""
        self._torn = False  # no good-bye of TLS

    async def run(self) -> str:
        """Serve until it ends; says why it ended."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
                    nursery.cancel_scope.cancel()
        finally:
            self._handle.close()
            with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                if self._torn:
                    await trio.aclose_forcefully(self.stream)
                else:
                    await self.stream.aclose()
        return self._ended

    async def _read(self) -> None:
        while not self._ended:
            await self.reading.wait()
            try:
                data = await self.stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            await self.reading.wait()  # it may have been stalled meanwhile
            if not data:
                self._ended = self._ended or "by the acquirer"
                return
            try:
                frames = self._framer.feed(bytes(data))
            except FrameError as error:
                self._ended = f"framing lost: {error}"
                return
            for frame in frames:
                self._network.received(self, frame)

    async def _write(self) -> None:
        async for chunk, pause_s in self._taken:
            try:
                await self.stream.send_all(chunk)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.close("the acquirer went away")
                return
            if pause_s:
                await trio.sleep(pause_s)

    def pack(self, fields: Mapping[int, str], *, answering: bytes = b"") -> bytes:
        """A message as it travels, framing included."""
        return self._framer.wrap(self._network.pack(fields), answering)

    def send(self, fields: dict[int, str], *, answering: bytes = b"", note: str = "") -> None:
        """Send one well-formed message."""
        self._network.noted(self.number, fields, sent=True, note=note)
        self._put(self.pack(fields, answering=answering))

    def frame(self, message: bytes, *, answering: bytes = b"") -> bytes:
        """A packed message as it travels."""
        return self._framer.wrap(message, answering)

    def send_raw(self, data: bytes, note: str) -> None:
        """Send bytes as they are."""
        self._network.note(self.number, f"sent {len(data)} bytes: {note}")
        self._put(data)

    def send_slowly(self, data: bytes, pause_s: float, note: str) -> None:
        """Send bytes one by one, with a pause behind each."""
        self._network.note(self.number, f"sends {len(data)} bytes one by one: {note}")
        for index in range(len(data)):
            self._put(data[index : index + 1], pause_s)

    def _put(self, chunk: bytes, pause_s: float = 0.0) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self._outbox.send_nowait((chunk, pause_s))

    def stall(self) -> None:
        """Read no more."""
        self.reading = trio.Event()

    def close(self, reason: str = "closed by the case") -> None:
        """End the connection with a good-bye of TLS."""
        self._ended = self._ended or reason
        self._scope.cancel()

    def reset(self) -> None:
        """End the connection with a reset of TCP, in the middle of whatever it does."""
        self._handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.tear()

    def tear(self) -> None:
        """End the connection without a good-bye."""
        self._torn = True
        self.close("torn by the case")
