"""An HTTP server that does what a script says, for clients to meet on a real socket."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

DROP: Final = b""  # close instead of answering
STALL: Final = b"stall"  # say nothing until the client leaves


class Farewell(bytes):
    """An answer behind which the server closes the connection without having said that it would."""

    __slots__ = ()


def answer(value: Any, status: int = 200, *headers: str) -> bytes:
    """A whole answer with a JSON body."""
    body = json.dumps(value).encode()
    head = (f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(head).encode() + body


def chunked(value: Any) -> bytes:
    """The same in chunks of seven bytes."""
    body = json.dumps(value).encode()
    parts = [body[start : start + 7] for start in range(0, len(body), 7)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
    return b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks


@dataclass
class ScriptedServer:
    """What happened to the server so far."""

    script: list[bytes]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    open_peak: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def values(self, name: str) -> list[str]:
        """One header of every request, in order; empty where a request lacks it."""
        found = []
        for request in self.requests:
            lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:])
            found.append(headers.get(name, ""))
        return found

    def bodies(self) -> list[bytes]:
        """The body of every request, in order."""
        return [request.partition(b"\r\n\r\n")[2] for request in self.requests]


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        state, connection = self.server.state, self.request
        if self.server.tls is not None:
            try:
                connection = self.server.tls.wrap_socket(connection, server_side=True)
            except OSError:
                return
        with state.lock:
            state.connections += 1
            state.open_now += 1
            state.open_peak = max(state.open_peak, state.open_now)
        try:
            while (request := _read_request(connection)) is not None:
                with state.lock:
                    state.requests.append(request)
                    reply = state.script.pop(0)
                if reply == STALL:
                    connection.recv(1)
                if reply in (DROP, STALL):
                    return
                connection.sendall(reply)
                leaves = isinstance(reply, Farewell) or b"Connection: close" in reply
                if leaves or reply.endswith(b"cut"):
                    return
        except OSError:
            return
        finally:
            with state.lock:
                state.open_now -= 1
            connection.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    state: ScriptedServer
    tls: ssl.SSLContext | None


def _read_request(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65_536)
        if not received:
            return None
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    length = int(lengths[0].split()[1]) if lengths else 0
    while len(body) < length:
        received = connection.recv(65_536)
        body += received
        data += received
    return data


@contextmanager
def scripted_server(*script: bytes, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Serve the script's replies, one a request, whatever connection it comes on."""
    state = ScriptedServer(list(script))
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.state, server.tls = state, tls
        scheme = "https" if tls is not None else "http"
        state.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
