"""A running HTTP server for tests, and a client that sees bytes."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from api.http.exchange import Exchange
from api.http.server import Server
from chassis.settings import API

_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]+\r\n((?:[^\r\n]+\r\n)*)\r\n")


@define
class Response:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


@define
class WireClient:
    """Sends bytes and reads answers."""

    stream: trio.abc.Stream
    buffer: bytes = b""

    async def send(self, data: bytes) -> None:
        """Send as it is."""
        await self.stream.send_all(data)

    async def receive(self, *, body: bool = True) -> Response:
        """The next answer; `body=False` where it answers a HEAD."""
        while (match := _HEAD.match(self.buffer)) is None:
            await self._more()
        lines = [line.decode().split(": ", 1) for line in match[2].split(b"\r\n") if line]
        headers = {name.lower(): value for name, value in lines}
        status = int(match[1])
        length = int(headers.get("content-length", "0")) if body and status >= 200 else 0
        end = match.end() + length
        while len(self.buffer) < end:
            await self._more()
        content, self.buffer = self.buffer[match.end() : end], self.buffer[end:]
        return Response(status, headers, content)

    async def receive_end(self) -> bytes:
        """Everything up to the end of the stream."""
        rest = self.buffer
        self.buffer = b""
        try:
            while data := await self.stream.receive_some(65_536):
                rest += data
        except trio.BrokenResourceError:
            pass  # a reset is an end, too
        return rest

    async def _more(self) -> None:
        data = await self.stream.receive_some(65_536)
        if not data:
            raise EOFError(f"the stream ended in the middle of an answer: {self.buffer!r}")
        self.buffer += data


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other tasks bring about."""
    while not condition():  # what is awaited signals nothing to tests
        await trio.sleep(0.001)


@define
class RunningServer:
    """A server on a free port."""

    server: Server
    port: int
    draining: trio.Event
    finished: list[int] = field(factory=list)
    clients: list[trio.SocketStream] = field(factory=list)

    async def connect(self, context: ssl.SSLContext | None = None) -> WireClient:
        """Open a connection."""
        stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        assert isinstance(stream, trio.SocketStream)
        self.clients.append(stream)
        if context is not None:
            stream = trio.SSLStream(
                stream, context, server_hostname="127.0.0.1", https_compatible=True
            )
        return WireClient(stream)


@asynccontextmanager
async def running_server(
    handle: Callable[[Exchange], None],
    limits: API | None = None,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[RunningServer]:
    """Serve with a handler; drained at the end, which must succeed in time."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    draining = trio.Event()
    statuses: list[int] = []
    server = Server(
        limits or API(),
        handle,
        finished=lambda _exchange, status: statuses.append(status),
        context=context,
    )
    with listener, trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, [listener], draining)
            running = RunningServer(server, listener.getsockname()[1], draining, statuses)
            try:
                yield running
            finally:
                for client in running.clients:
                    client.socket.close()
                draining.set()
