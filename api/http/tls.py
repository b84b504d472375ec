"""TLS as a filter over bytes, so that one connection class serves both plain and TLS sockets.

`ssl.SSLObject` over two memory buffers does no I/O of its own: what the socket brought goes in,
plain text comes out, and whatever TLS itself has to say waits in `outgoing()`.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

from chassis.tls import TLSFilesError

_READ_BYTES = 65_536


def server_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """The context of the merchants' side: TLS 1.2 or newer, HTTP/1.1, no client certificates.

    Raises:
        TLSFilesError: a file cannot be read, or they are no certificate chain and key that belong
            together; names both files and their settings.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        files = f"api.tls_certificate {certificate} with api.tls_key {key}"
        raise TLSFilesError(f"{files}: {error.strerror or error}") from error
    return context


class TLSFilter:
    """The server's end of one TLS session.

    Attributes:
        ended: the peer has closed the session properly.
    """

    __slots__ = ("_established", "_incoming", "_outgoing", "_session", "ended")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the socket, give plain text; raises `ssl.SSLError` on anything bad."""
        self._incoming.write(data)
        plain = []
        try:
            if not self._established:
                self._session.do_handshake()
                self._established = True
            while part := self._session.read(_READ_BYTES):
                plain.append(part)
            self.ended = True
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still under way
        except ssl.SSLZeroReturnError:
            self.ended = True
        return b"".join(plain)

    def protect(self, plain: bytes) -> bytes:
        """Plain text as records for the socket, behind whatever TLS itself had to say."""
        self._session.write(plain)
        return self._outgoing.read()

    def outgoing(self) -> bytes:
        """What TLS itself has to say: handshake messages, alerts."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """The close_notify alert that ends our direction; nothing if there is no session."""
        # It waits for the peer's alert, or there is no session to end.
        with suppress(ssl.SSLError, ValueError):
            self._session.unwrap()
        return self._outgoing.read()
