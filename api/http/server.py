"""Accepting, sweeping, draining: what all connections of a process share.

Draining (design 2): the listeners are no longer accepted from, idle connections end at once, the
others end with the answer to their last request, which says `Connection: close`. What is not
done after `drain_timeout_s` is cut off.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final

import trio
from attrs import define

from api.errors import Problem
from api.http.answer import DateLine, RequestIds, answer_bytes, problem_answer
from api.http.connection import Connection
from api.http.exchange import Exchange
from api.http.readiness import Readiness
from chassis.log import get_logger
from chassis.settings import API

ACCEPT_BURST: Final = 64  # connections taken in one tick, so that accepting cannot starve serving
ACCEPT_PAUSE_S: Final = 0.1  # when the process or the system has no file descriptor left
SWEEPS_PER_TIMEOUT: Final = 5  # a time limit is kept to a fifth of itself ...
SWEEP_INTERVAL_MAX_S: Final = 1.0  # ... and to a second at most
_OUT_OF_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = get_logger(__name__)


@define
class ConnectionCounts:
    """What happened to connections, for metrics."""

    accepted_total: int = 0
    refused_total: int = 0  # over the bound
    accept_errors_total: int = 0
    handler_errors_total: int = 0


class Server:
    """Serves HTTP on bound, listening sockets.

    Args:
        limits: the `api` section of the settings.
        handle: gets every exchange, synchronously; answers it now or later.
        finished: is told of every answered exchange and its status.
        context: TLS for all listeners, or None for plain HTTP.
    """

    def __init__(
        self,
        limits: API,
        handle: Callable[[Exchange], None],
        *,
        finished: Callable[[Exchange, int], None],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits
        self.finished = finished
        self.draining = False
        self.readiness = Readiness()
        self.counts = ConnectionCounts()
        self._handle = handle
        self._context = context
        self.next_request_id = RequestIds().next
        self.date_line = DateLine().at
        self._connections: set[Connection] = set()
        self._dirty: list[Connection] = []
        self._dirt = trio.Event()
        self._nursery: trio.Nursery | None = None

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        return len(self._connections)

    async def serve(
        self,
        listeners: Iterable[socket.socket],
        draining: trio.Event,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `draining` is set, then drain; returns when the last connection is gone."""
        async with trio.open_nursery() as background:
            background.start_soon(self._sweep)
            background.start_soon(self._flush)
            background.start_soon(self.readiness.run)
            async with trio.open_nursery() as self._nursery:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        listener.setblocking(False)
                        accepting.start_soon(self._accept, listener)
                    task_status.started()
                    await draining.wait()
                    accepting.cancel_scope.cancel()
                self._nursery.cancel_scope.deadline = (
                    trio.current_time() + self.limits.drain_timeout_s
                )
                self.draining = True
                for connection in list(self._connections):
                    connection.end_if_idle()
            background.cancel_scope.cancel()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            for _ in range(ACCEPT_BURST):
                try:
                    sock, address = listener.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    self.counts.accept_errors_total += 1
                    if error.errno in _OUT_OF_RESOURCES:
                        log.warning("accepting pauses", reason=errno.errorcode[error.errno])
                        await trio.sleep(ACCEPT_PAUSE_S)
                    break
                self._admit(sock, address[0])

    def _admit(self, sock: socket.socket, peer: str) -> None:
        sock.setblocking(False)
        if len(self._connections) >= self.limits.connections_max:
            self.counts.refused_total += 1
            self._turn_away(sock)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.counts.accepted_total += 1
        assert self._nursery is not None
        connection = Connection(self, sock, self._context, peer=peer)
        self._nursery.start_soon(self._run_connection, connection)

    def _turn_away(self, sock: socket.socket) -> None:
        request_id = self.next_request_id()
        wire = answer_bytes(
            problem_answer(Problem("overloaded", retry_after_s=1), request_id.hex()),
            request_id=request_id,
            date=self.date_line(monotonic()),
            close=True,
            without_body=False,
        )
        with sock:
            if self._context is None:
                try:
                    sock.send(wire)
                except OSError:
                    self.counts.accept_errors_total += 1  # gone already

    async def _run_connection(self, connection: Connection) -> None:
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    async def _sweep(self) -> None:
        """Keep every time limit of every connection."""
        limits = self.limits
        shortest_s = min(
            limits.head_timeout_s,
            limits.body_timeout_s,
            limits.idle_timeout_s,
            limits.request_deadline_s,
        )
        interval_s = min(SWEEP_INTERVAL_MAX_S, shortest_s / SWEEPS_PER_TIMEOUT)
        while True:
            await trio.sleep(interval_s)
            now = monotonic()
            for connection in list(self._connections):
                connection.check(now)

    async def _flush(self) -> None:
        """Write, once a tick, the answers to pipelined requests."""
        while True:
            await self._dirt.wait()
            self._dirt = trio.Event()
            dirty, self._dirty = self._dirty, []
            for connection in dirty:
                connection.flush()

    # What connections ask of their host.

    def handle(self, exchange: Exchange) -> None:
        """Have it answered; what the handler raises becomes a 500, counted and logged."""
        try:
            self._handle(exchange)
        except Exception:
            self.counts.handler_errors_total += 1
            log.exception("a request failed", request_id=exchange.request_id.hex())
            exchange.problem(Problem("internal_error"))

    def flush_soon(self, connection: Connection) -> None:
        """Call `connection.flush` at the end of this tick."""
        self._dirty.append(connection)
        self._dirt.set()

    def start_writer(self, connection: Connection) -> None:
        """Run `connection.write_unsent` in a task of its own."""
        assert self._nursery is not None
        self._nursery.start_soon(connection.write_unsent)
