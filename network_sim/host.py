"""A network's host: accepts acquirers over mutual TLS and plays the network to them.

Each connection has its own tasks (`network_sim.connection`); the issuer, the record and the heap
of delayed answers are shared, and touched by synchronous code only, so they need no lock. One task
serves all delayed answers.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs
import trio

from chassis.clock import now_us
from chassis.log import get_logger
from chassis.settings.tree import Network, Simulator
from chassis.tls import TLSPeerError, accept_tls
from chassis.tls_stream import TLSStream
from network_sim.acceptor import Acceptor, Codec, FrameCounters
from network_sim.connection import Connection
from network_sim.delays import DelayedAnswers
from network_sim.issuer import Issuer
from network_sim.journal import Journal
from switch.iso8583 import Dialect
from switch.iso8583.framing import framer_for

FINISH_TIMEOUT_S: Final = 2.0  # for queued answers to leave when the host stops

log = get_logger(__name__)


@attrs.define
class ConnectionCounters:
    """Plain counters of peers."""

    open_count: int = 0  # now, handshakes under way included
    accepted_total: int = 0  # authenticated acquirers
    refused_total: int = 0  # peers that did not get that far


class Host:
    """One network.

    Args:
        network: where it differs from other networks: names, timers, frame limits.
        limits: what one peer may cost.
        tls: the server's context; asks for a client certificate.
        codec: how messages are packed.
        dialect: what messages there are.
        issuer: decides.
        journal: records.
        now_us: the wall clock, microseconds since 1970.

    Attributes:
        frames: what arrived.
        connections: who came and went.
        delayed: answers that wait.
    """

    def __init__(
        self,
        *,
        network: Network,
        limits: Simulator,
        tls: ssl.SSLContext,
        codec: Codec,
        dialect: Dialect,
        issuer: Issuer,
        journal: Journal,
        now_us: Callable[[], int] = now_us,
    ) -> None:
        self._network = network
        self._limits = limits
        self._tls = tls
        self._codec = codec
        self._dialect = dialect
        self._issuer = issuer
        self._journal = journal
        self._now_us = now_us
        self._serving: set[Connection] = set()
        self._timer = trio.CancelScope()
        self.frames = FrameCounters()
        self.connections = ConnectionCounters()
        self.delayed = DelayedAnswers(limits.delayed_answers_max)

    async def serve(self, listener: socket.socket, stop: trio.Event) -> None:
        """Accept and serve until `stop`, then let queued answers leave.

        Raises:
            JournalError: a decision could not be recorded; every connection was closed.
        """
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
        async with trio.open_nursery() as handlers:
            async with trio.open_nursery() as intake:
                intake.start_soon(
                    partial(
                        trio.serve_listeners, self._serve_peer, listeners, handler_nursery=handlers
                    )
                )
                intake.start_soon(self._send_delayed)
                await stop.wait()
                intake.cancel_scope.cancel()
            for connection in self._serving:
                connection.finish("the network stops")
            handlers.cancel_scope.deadline = trio.current_time() + FINISH_TIMEOUT_S

    async def _serve_peer(self, transport: trio.SocketStream) -> None:
        """One accepted peer; `serve_listeners` closes the transport behind us."""
        if self.connections.open_count >= self._limits.connections_max:
            self._refuse("too many connections")
            return
        self.connections.open_count += 1
        try:
            stream = await self._handshake(transport)
            if stream is not None:
                await self._serve_acquirer(stream)
        finally:
            self.connections.open_count -= 1

    async def _handshake(self, transport: trio.SocketStream) -> TLSStream | None:
        """The TLS stream to the acquirer, None where the peer is not the acquirer."""
        try:
            with trio.fail_after(self._limits.handshake_timeout_s):
                return await accept_tls(
                    transport, self._tls, client_names={self._network.client_name}
                )
        except trio.TooSlowError:
            self._refuse("the handshake took too long")
        except trio.BrokenResourceError as error:
            self._refuse(_handshake_failure(error.__cause__))
        except TLSPeerError as error:
            self._refuse(str(error))
        return None

    def _refuse(self, reason: str) -> None:
        self.connections.refused_total += 1
        log.warning("connection refused", reason=reason)

    async def _serve_acquirer(self, stream: TLSStream) -> None:
        framer = framer_for(self._dialect.framing, self._network.frame_bytes_max, network_side=True)
        acceptor = Acceptor(
            codec=self._codec,
            dialect=self._dialect,
            issuer=self._issuer,
            framer=framer,
            counters=self.frames,
            keep_alives_max=self._limits.keep_alives_max,
        )
        connection = Connection(
            stream,
            acceptor=acceptor,
            framer=framer,
            journal=self._journal,
            delayed=self.delayed,
            wake_timer=self._wake_timer,
            network=self._network,
            limits=self._limits,
            now_us=self._now_us,
        )
        self._serving.add(connection)
        self.connections.accepted_total += 1
        log.info("connection open")
        try:
            reason = await connection.run()
        finally:
            self._serving.discard(connection)
        log.info("connection closed", reason=reason, session=acceptor.session.state.value)

    async def _send_delayed(self) -> None:
        while True:
            self._timer = trio.CancelScope(deadline=self.delayed.next_due_at)
            with self._timer:
                await trio.sleep_forever()
            self.delayed.send_due(trio.current_time())

    def _wake_timer(self) -> None:
        self._timer.deadline = self.delayed.next_due_at


def _handshake_failure(cause: BaseException | None) -> str:
    """Why a handshake failed, in OpenSSL's words where it has any."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"handshake failed: the client's certificate: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return f"handshake failed: {cause.reason}"
    return "the peer left during the handshake"
