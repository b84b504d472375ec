"""A load generator for prepared HTTP requests: epoll, plain sockets, one process.

Everything costly (signing, sealing, building bytes) happens before the clock starts, so that what
this process burns stays small beside what it measures. Two ways of driving:

- closed loop: every connection sends its next request when the last was answered;
- open loop: requests fall due at a constant rate, and latency counts from the *intended* send time,
  so that a stalled server cannot hide the queue it causes (coordinated omission). Connections are
  opened as they are needed, so the time that opening one takes is in the latency of the request
  that needed it.

Run as `python -m benchmarks.load SPEC`, where SPEC is a msgpack file of a `LoadSpec`; the outcome
is written to `spec.outcome` as a msgpack `LoadOutcome`.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from pathlib import Path

import msgspec
from msgspec import Struct

RECEIVE_BYTES = 65_536
LENGTH_HEADER = b"content-length:"
CLOSE_HEADER = b"connection: close"
CONNECT_TIMEOUT_S = 10.0
POLL_S = 0.05


class LoadSpec(Struct):
    """What to send, where, how."""

    host: str
    port: int
    requests: str  # path of a msgpack list of bytes
    outcome: str  # path to write the LoadOutcome to
    connections: int
    seconds: float  # stop sending after this; answers are still awaited
    rate: float = 0.0  # requests a second, open loop; 0 = closed loop
    grace_s: float = 30.0  # how long to wait for the last answers


class LoadOutcome(Struct):
    """What came back, one entry per request sent, in order of answering."""

    index: list[int]  # which request
    status: list[int]  # HTTP status; 0 = the connection ended without an answer
    latency_s: list[float]
    body: list[bytes]
    sent: int
    elapsed_s: float
    cpu_s: float


class _Connection:
    __slots__ = ("buffer", "due_at", "index", "socket")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = b""
        self.index = -1  # of the request being answered; -1 = idle
        self.due_at = 0.0


class Generator:
    """Drives `connections` sockets through a list of requests."""

    def __init__(self, spec: LoadSpec, requests: list[bytes]) -> None:
        self._spec = spec
        self._requests = requests
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._next = 0
        self._busy = 0
        self._outcome = LoadOutcome([], [], [], [], 0, 0.0, 0.0)

    def run(self) -> LoadOutcome:
        """Send everything, or as much as the time allows, and collect every answer."""
        if not self._spec.rate:
            for _ in range(min(self._spec.connections, len(self._requests))):
                self._connect()
        began = time.monotonic()
        cpu_began = time.process_time()
        if self._spec.rate:
            try:
                self._open_loop(began, began + self._spec.seconds)
            except ConnectionRefusedError:
                if self._next == 0:
                    raise
                # The server has gone meanwhile: what was sent is all that there is.
        else:
            self._closed_loop(began + self._spec.seconds)
        self._collect(time.monotonic() + self._spec.grace_s)
        outcome = self._outcome
        outcome.sent = self._next
        outcome.elapsed_s = time.monotonic() - began
        outcome.cpu_s = time.process_time() - cpu_began
        return outcome

    def _connect(self) -> None:
        sock = socket.create_connection((self._spec.host, self._spec.port), CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        connection = _Connection(sock)
        self._connections[sock.fileno()] = connection
        self._idle.append(connection)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _closed_loop(self, stop_at: float) -> None:
        total = len(self._requests)
        ready = self._idle
        while True:
            now = time.monotonic()
            for connection in ready:
                if self._next < total and now < stop_at:
                    self._send(connection, time.monotonic())
            if not self._busy:
                return
            ready = self._receive(POLL_S)

    def _open_loop(self, began: float, stop_at: float) -> None:
        """Send at the rate, over connections opened as they are needed.

        A server closes one that says nothing for long, maybe in the instant of its first request.
        """
        interval = 1.0 / self._spec.rate
        total = len(self._requests)
        while self._next < total:
            now = time.monotonic()
            if now >= stop_at:
                return
            while self._next < total and (due_at := began + self._next * interval) <= now:
                if not self._idle:
                    if len(self._connections) == self._spec.connections:
                        break
                    self._connect()
                self._send(self._idle.pop(), due_at)
            wait_s = POLL_S
            if self._idle or len(self._connections) < self._spec.connections:
                wait_s = max(0.0, began + self._next * interval - time.monotonic())
            self._idle.extend(self._receive(min(POLL_S, wait_s)))

    def _collect(self, until: float) -> None:
        while self._busy and time.monotonic() < until:
            self._receive(POLL_S)
        for connection in self._connections.values():
            if connection.index >= 0:
                self._note(connection, 0, b"", time.monotonic())
            connection.socket.close()

    def _send(self, connection: _Connection, due_at: float) -> None:
        connection.index = self._next
        connection.due_at = due_at
        self._next += 1
        self._busy += 1
        # A request is far smaller than the socket's send buffer, which is empty: one at a time.
        try:
            connection.socket.send(self._requests[connection.index])
        except ConnectionError:  # the server has closed it meanwhile
            self._drop(connection.socket.fileno(), connection)

    def _receive(self, timeout_s: float) -> list[_Connection]:
        """Read what has arrived; the connections whose answer is complete."""
        done: list[_Connection] = []
        for fileno, _ in self._epoll.poll(timeout_s):
            connection = self._connections[fileno]
            try:
                data = connection.socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except ConnectionError:  # as where the server closes it in good order
                data = b""
            if not data:
                self._drop(fileno, connection)
                continue
            answer = connection.buffer + data if connection.buffer else data
            end = _complete(answer)
            if end is None:
                connection.buffer = answer
                continue
            connection.buffer = b""
            head, length, is_last = end
            body = answer[head : head + length]
            self._note(connection, int(answer[9:12]), body, time.monotonic())
            if is_last:
                self._drop(fileno, connection)
            else:
                done.append(connection)
        return done

    def _drop(self, fileno: int, connection: _Connection) -> None:
        self._epoll.unregister(fileno)
        if connection.index >= 0:
            self._note(connection, 0, b"", time.monotonic())
        elif connection in self._idle:
            self._idle.remove(connection)
        del self._connections[fileno]
        connection.socket.close()

    def _note(self, connection: _Connection, status: int, body: bytes, now: float) -> None:
        outcome = self._outcome
        outcome.index.append(connection.index)
        outcome.status.append(status)
        outcome.latency_s.append(now - connection.due_at)
        outcome.body.append(body)
        connection.index = -1
        self._busy -= 1


def _complete(answer: bytes) -> tuple[int, int, bool] | None:
    """(start of the body, its length, whether the connection ends) once all of it is here."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = answer[:end].lower()
    at = head.find(LENGTH_HEADER)
    start = end + 4
    length = 0
    if at >= 0:
        length = int(answer[at + len(LENGTH_HEADER) : answer.index(b"\r\n", at)])
    return (start, length, CLOSE_HEADER in head) if len(answer) >= start + length else None


def main(spec_path: str) -> None:
    """Entry of the generator process."""
    spec = msgspec.msgpack.decode(Path(spec_path).read_bytes(), type=LoadSpec)
    requests = msgspec.msgpack.decode(Path(spec.requests).read_bytes(), type=list[bytes])
    outcome = Generator(spec, requests).run()
    Path(spec.outcome).write_bytes(msgspec.msgpack.encode(outcome))


if __name__ == "__main__":
    main(sys.argv[1])
