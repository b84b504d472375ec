"""The answering end of a mux."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Generic, TypeVar

import trio

from chassis.log import get_logger
from chassis.mux.codec import BatchDecoder, MessageEncoder
from chassis.mux.connection import Connection, MuxCounters
from chassis.mux.dial import peer_uid
from chassis.mux.errors import MuxMessageTooLargeError, MuxOverloadError, MuxProtocolError
from chassis.mux.outbox import Outbox
from chassis.plain_stream import PlainStream
from chassis.settings.tree import MuxLimits

Request = TypeVar("Request")
Reply = TypeVar("Reply")

log = get_logger(__name__)


class MuxPeer(Generic[Reply]):
    """One client of ours, as long as its connection lives.

    Attributes:
        uid: the user it runs as, said by the kernel; None unless it came by a Unix socket.
        in_flight: its requests without a reply.
        closed: its connection has ended; replies to it are dropped and counted.
    """

    __slots__ = ("_connection", "_counters", "_encode", "closed", "in_flight", "uid")

    def __init__(
        self,
        connection: Connection,
        encoder: MessageEncoder,
        counters: MuxCounters,
        uid: int | None,
    ) -> None:
        self._connection = connection
        self._encode = encoder.encode
        self._counters = counters
        self.uid = uid
        self.in_flight = 0
        self.closed = False

    def reply(self, request_id: int, body: Reply) -> None:
        """Queue the one reply to a request; never blocks and never raises for the peer's sake.

        A peer whose outbox is full does not read, and loses its connection. So does one whose
        reply is larger than a frame may be: it must not wait for ever.
        """
        self.in_flight -= 1
        if self.closed:
            self._counters.dropped_total += 1
            return
        try:
            self._connection.outbox.put(self._encode(request_id, body))
        except (MuxOverloadError, MuxMessageTooLargeError) as error:
            self._counters.overload_total += 1
            self._counters.dropped_total += 1
            self.close(str(error))
            return
        self._counters.sent_total += 1

    def close(self, reason: str) -> None:
        """End the connection."""
        self.closed = True
        self._connection.end(reason)


class MuxServer(Generic[Request, Reply]):
    """Takes requests in batches and hands them on.

    Args:
        request_type: union of the tagged records it accepts.
        reply_type: union of the tagged records it sends.
        limits: the bounds of each connection, and how many there may be.
        on_batch: gets a peer and everything one read completed, as (request id, request). It must
            be quick, must not raise, and each request must be replied to exactly once.
        on_close: gets each peer once, after its connection has ended.

    Attributes:
        last_failure: why the last connection ended.
    """

    def __init__(
        self,
        *,
        request_type: Any,
        reply_type: Any,
        limits: MuxLimits,
        on_batch: Callable[[MuxPeer[Reply], list[tuple[int, Request]]], None],
        on_close: Callable[[MuxPeer[Reply]], None] | None = None,
    ) -> None:
        self.counters = MuxCounters()
        self.last_failure = ""
        self.peers: set[MuxPeer[Reply]] = set()
        self._request_type = request_type
        self._reply_type = reply_type
        self._limits = limits
        self._encoder = MessageEncoder(limits)
        self._on_batch = on_batch
        self._on_close = on_close

    async def serve(
        self,
        listener: socket.socket,
        *,
        allowed_uids: Collection[int] | None = None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve a bound and listening stream socket until canceled.

        Args:
            listener: a Unix or TCP socket; closed at the end.
            allowed_uids: users that may connect, Unix sockets only; None lets everyone in.
            task_status: started at once: the socket is already listening.

        Raises:
            ValueError: users are to be checked on a socket that knows none.
        """
        if allowed_uids is not None and listener.family != socket.AF_UNIX:
            raise ValueError("only a Unix socket knows the user of its peer")
        listener.setblocking(False)
        async with trio.SocketListener(trio.socket.from_stdlib_socket(listener)) as accepting:
            task_status.started()
            await trio.serve_listeners(
                partial(self._serve_socket, allowed_uids=allowed_uids), [accepting]
            )

    async def _serve_socket(
        self, stream: trio.SocketStream, allowed_uids: Collection[int] | None
    ) -> None:
        uid = peer_uid(stream.socket)
        if allowed_uids is not None and uid not in allowed_uids:
            self.counters.refused_total += 1
            self._refused(f"user {uid} was refused")
            await trio.aclose_forcefully(stream)
            return
        await self.serve_stream(PlainStream(stream.socket), uid=uid)

    async def serve_stream(self, stream: trio.abc.Stream, *, uid: int | None = None) -> None:
        """Serve one connection, TLS or memory for instance, until it ends; then close it."""
        if len(self.peers) >= self._limits.connections_max:
            self.counters.overload_total += 1
            self._refused(f"more than {self._limits.connections_max} connections")
            await trio.aclose_forcefully(stream)
            return
        connection = Connection(stream, Outbox(self._limits))
        peer: MuxPeer[Reply] = MuxPeer(connection, self._encoder, self.counters, uid)
        self.peers.add(peer)
        try:
            await connection.run(
                BatchDecoder(self._request_type, self._limits),
                partial(self._on_requests, peer),
                receive_bytes=self._limits.receive_bytes,
                counters=self.counters,
            )
        finally:
            self.peers.discard(peer)
            peer.closed = True
            self.last_failure = connection.ended or "stopped"
            log.info("mux_peer_gone", reason=self.last_failure)
            if self._on_close is not None:
                self._on_close(peer)

    def _refused(self, reason: str) -> None:
        log.warning("mux_peer_refused", reason=reason)
        self.last_failure = reason

    def _on_requests(self, peer: MuxPeer[Reply], requests: list[tuple[int, Request]]) -> None:
        self.counters.received_total += len(requests)
        peer.in_flight += len(requests)
        if peer.in_flight > self._limits.in_flight_max:
            raise MuxProtocolError(f"more than {self._limits.in_flight_max} requests in flight")
        self._on_batch(peer, requests)
