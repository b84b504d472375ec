"""A plain socket as a stream, for connections that carry many small messages in batches.

Theory of operation. To receive is to wait until the socket is readable and take what is there with
one `recv`; to send is one `send`, and only where the kernel has no room does the task wait.
`trio.SocketStream` does the same for any number of tasks and at any moment: it tries first, waits
then, tries again, and passes a checkpoint for each call. What that costs is paid for each chunk,
and a chunk of the mux holds few messages (ADR 0008 has the figures for its sibling, `TLSStream`).

One task may receive and one may send.
"""

from __future__ import annotations

import socket

import trio


class PlainStream(trio.abc.Stream):
    """One connected socket, which it takes over from a Trio socket with the options it has."""

    def __init__(self, connected: trio.socket.SocketType) -> None:
        self._socket = socket.socket(fileno=connected.detach())
        self._socket.setblocking(False)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has arrived, at least one byte; empty once the peer has closed its end.

        Raises:
            trio.BrokenResourceError: the connection is lost.
            trio.ClosedResourceError: this end was closed.
        """
        self._check_open()
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(65_536 if max_bytes is None else max_bytes)
            except BlockingIOError:
                continue  # readable in error, as poll(2) warns: wait again
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything; a checkpoint only where the kernel has no room.

        A task that sends without end must therefore pause elsewhere.

        Raises:
            trio.BrokenResourceError: the connection is lost; what had left is unknown.
            trio.ClosedResourceError: this end was closed.
        """
        self._check_open()
        unsent = memoryview(data)
        while unsent:
            try:
                unsent = unsent[self._socket.send(unsent) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the kernel has room."""
        self._check_open()
        await trio.lowlevel.wait_writable(self._socket)

    async def aclose(self) -> None:
        """Close at once; what the kernel has taken still leaves."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this stream was closed")
