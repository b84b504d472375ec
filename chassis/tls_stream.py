"""A TLS stream over a TCP socket, for connections that carry many small messages.

Theory of operation. OpenSSL works on two buffers in memory and never sees the socket. To receive
is to wait until the socket is readable, move one `recv` into the one buffer, and take every record
out that is whole: the peer's answers to one batch arrive as one result, however many records they
were. To send is to have the data encrypted into the other buffer and to hand that to the kernel,
which has room for it but in rare cases; only then a task waits.

`trio.SSLStream` does the same for any transport and any number of tasks. Its generality costs two
locks, four context managers, two further attempts and a second round of the scheduler for each
chunk: three times the CPU, which counts where a chunk holds a dozen messages (ADR 0008).

One task may receive and one may send. Both may make OpenSSL put something out: receiving does when
the peer renews its keys (RFC 8446, 4.6.3). What the kernel does not take at once stays in `_unsent`
and leaves ahead of anything later, so that the order of records holds whoever put them out.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import Final

import trio

_NO_LINGER: Final = struct.pack("ii", 1, 0)  # close at once, with a reset
RECEIVE_BYTES_MAX: Final = 65_536  # of one receive, as on a plain trio.SocketStream
RECORD_BYTES_MAX: Final = 16_384  # plaintext of one TLS record (RFC 8446, 5.1)


class TLSStream(trio.abc.Stream):
    """One connection; call `do_handshake` first.

    Args:
        transport: the connected TCP stream; its socket is taken over, with the options it has.
        context: what is agreed to.
        server_side: accepts instead of connecting.
        server_hostname: clients: what the server must be called.

    Attributes:
        tls: for questions about the peer and the session; not for reading and writing.
    """

    def __init__(
        self,
        transport: trio.SocketStream,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self._socket = socket.socket(fileno=transport.socket.detach())
        self._socket.setblocking(False)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
        )
        self._unsent = b""  # encrypted; the kernel had no room for it
        self._undecrypted = True  # whether the next receive looks into OpenSSL first
        self._ended = False  # the peer said good-bye
        self._fault: ssl.SSLError | None = None

    async def do_handshake(self) -> None:
        """Shake hands.

        Raises:
            trio.BrokenResourceError: it failed; the reason is its cause.
        """
        done = False
        while not done:
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self._push_alert()
                raise trio.BrokenResourceError from error
            await self._flush()
            if not done:
                await self._fill()
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return all that has arrived, at least one byte; empty once the peer has said good-bye.

        Raises:
            trio.BrokenResourceError: the connection is lost, or ended without a good-bye.
            trio.ClosedResourceError: this end was closed.
        """
        limit = RECEIVE_BYTES_MAX if max_bytes is None else max_bytes
        self._check_open()
        if self._undecrypted:
            await trio.lowlevel.checkpoint()
        while True:
            if self._undecrypted:
                data = self._decrypt(limit)
                if data or self._ended:
                    return data
            await self._fill()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; a checkpoint only where the kernel has no room, or `data` is empty.

        A task that sends without end must therefore pause elsewhere.

        Raises:
            trio.BrokenResourceError: the connection is lost; what had left is unknown.
            trio.ClosedResourceError: this end was closed.
        """
        self._check_open()
        if not data:  # OpenSSL would take it for the end
            await trio.lowlevel.checkpoint()
            return
        try:
            self.tls.write(data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError from error
        await self._flush()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the kernel has room."""
        self._check_open()
        await trio.lowlevel.wait_writable(self._socket)

    async def aclose(self) -> None:
        """Say good-bye if there is room for it, and close; canceled, it just closes."""
        try:
            await trio.lowlevel.checkpoint()
            if self._socket.fileno() >= 0:
                # What is wrong now no longer matters. The peer's good-bye is not waited for.
                with suppress(ssl.SSLError, trio.BrokenResourceError):
                    self._say_goodbye()
        finally:
            if self._socket.fileno() >= 0:
                trio.lowlevel.notify_closing(self._socket)
                self._socket.close()

    async def aclose_without_goodbye(self, *, reset: bool = False) -> None:
        """Close as a peer does that has crashed: by the end of the stream, or by a reset."""
        if self._socket.fileno() >= 0:
            with suppress(OSError):  # the peer has gone before
                if reset:
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                else:
                    self._socket.shutdown(socket.SHUT_WR)
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()

    def _say_goodbye(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._push()

    def _check_open(self) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this TLS stream was closed")

    async def _fill(self) -> None:
        """Wait for bytes of the peer's, or its end, and give them to OpenSSL."""
        await trio.lowlevel.wait_readable(self._socket)
        try:
            data = self._socket.recv(RECEIVE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError as error:
            raise trio.BrokenResourceError from error
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        self._undecrypted = True

    def _decrypt(self, limit: int) -> bytes:
        """Take what is whole, up to `limit` bytes; empty if nothing is."""
        if self._fault is not None:
            raise trio.BrokenResourceError from self._fault
        tls, incoming = self.tls, self._incoming
        records: list[bytes] = []
        while limit > 0:
            try:
                record = tls.read(min(limit, RECORD_BYTES_MAX))
            except ssl.SSLWantReadError:
                self._undecrypted = False
                break
            except ssl.SSLError as error:
                self._fault = error
                self._push_alert()
                if records:  # they are good; the next receive tells of the fault
                    break
                raise trio.BrokenResourceError from error
            if not record:
                self._ended = True
                break
            records.append(record)
            limit -= len(record)
            if not incoming.pending and not tls.pending():
                self._undecrypted = False
                break
        if self._outgoing.pending:
            self._push()  # the answer to new keys of the peer's
        return records[0] if len(records) == 1 else b"".join(records)

    def _push(self) -> bool:
        """Hand the kernel what it takes of what OpenSSL has put out; whether that was all."""
        unsent = self._unsent + self._outgoing.read()
        try:
            sent = self._socket.send(unsent) if unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise trio.BrokenResourceError from error
        self._unsent = unsent[sent:]
        return not self._unsent

    def _push_alert(self) -> None:
        """Let the peer know what OpenSSL has against it, if it still listens."""
        with suppress(trio.BrokenResourceError):
            self._push()

    async def _flush(self) -> None:
        while not self._push():
            await trio.lowlevel.wait_writable(self._socket)
