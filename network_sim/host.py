"""A network's host: accepts acquirers over mutual TLS and plays the network to them.

Each connection has its own tasks (`network_sim.connection`); the issuer, the record and the heap
of delayed answers are shared, and touched by synchronous code only, so they need no lock. One task
serves all delayed answers.

A host is left to itself, which is fast, or it is given a `Direction`: then its connections follow
a fault script, make and judge MACs, and record every message. Either way `Host.initiative` lets
whoever runs it send echoes, cutovers, keys, and break connections.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs
import trio

from chassis.clock import now_us
from chassis.log import get_logger
from chassis.settings.tree import Network, Simulator
from chassis.tls import TLSPeerError, accept_tls
from chassis.tls_faults import explain
from chassis.tls_stream import TLSStream
from network_sim.acceptor import Acceptor, Codec, FrameCounters
from network_sim.answering import Direction
from network_sim.authentic import AuthenticAcceptor
from network_sim.connection import Connection
from network_sim.delays import DelayedAnswers
from network_sim.initiative import Initiative
from network_sim.issuer import Issuer
from network_sim.journal import Journal
from network_sim.scripted import ScriptedAcceptor
from network_sim.scripted_connection import ScriptedConnection
from network_sim.session import Session
from network_sim.timing import scaled
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


@attrs.frozen
class Admission:
    """Whom a host lets in, and to what.

    Attributes:
        alpn_required: whether a client must name our protocol in its handshake.
        sign_on_required: whether financial messages must wait for a sign-on.
    """

    alpn_required: bool = True
    sign_on_required: bool = True


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
        direction: script, record and MACs; None = the network is left to itself.
        admission: whom it lets in.

    Attributes:
        frames: what arrived.
        connections: who came and went.
        delayed: answers that wait.
        initiative: what the network does of its own accord.
        accepting: False = whoever connects is closed at once; those that are connected stay.
        tls: of the next handshake; may be replaced.
        on_refused: called with the reason when a peer is not let in.
        on_opened: called with the number of a connection when it is served.
        on_closed: called with number and reason when a connection is over.
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
        direction: Direction | None = None,
        admission: Admission = Admission(),
    ) -> None:
        factor = 1.0 if direction is None else direction.time_factor
        self._network = scaled(network, factor)
        self._limits = scaled(limits, factor)
        self._codec = codec
        self._dialect = dialect
        self._issuer = issuer
        self._journal = journal
        self._now_us = now_us
        self._direction = direction
        self._admission = admission
        self._serving: dict[int, Connection] = {}
        self._accepted = 0
        self._timer = trio.CancelScope()
        self.frames = FrameCounters()
        self.connections = ConnectionCounters()
        self.delayed = DelayedAnswers(limits.delayed_answers_max)
        self.initiative = Initiative(dialect, issuer, direction, now_us)
        self.accepting = True
        self.tls = tls
        self.on_refused: Callable[[str], None] = _ignore
        self.on_opened: Callable[[int], None] = _ignore_opened
        self.on_closed: Callable[[int, str], None] = _ignore_closed

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
            for connection in self._serving.values():
                connection.finish("the network stops")
            handlers.cancel_scope.deadline = trio.current_time() + FINISH_TIMEOUT_S

    async def _serve_peer(self, transport: trio.SocketStream) -> None:
        """One accepted peer; `serve_listeners` closes the transport behind us."""
        if not self.accepting:
            self._refuse("the network is down")
            return
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
                    transport,
                    self.tls,
                    client_names={self._network.client_name},
                    alpn_required=self._admission.alpn_required,
                )
        except trio.TooSlowError:
            self._refuse("the handshake took too long")
        except (trio.BrokenResourceError, TLSPeerError) as error:
            self._refuse(f"handshake failed: {explain(error).reason}")
        return None

    def _refuse(self, reason: str) -> None:
        self.connections.refused_total += 1
        log.warning("connection refused", reason=reason)
        self.on_refused(reason)

    async def _serve_acquirer(self, stream: TLSStream) -> None:
        self._accepted += 1
        number = self._accepted
        connection = self._connection(number, stream)
        self._serving[number] = connection
        self.initiative.joined(number, connection)
        self.connections.accepted_total += 1
        log.info("connection open", connection=number)
        self.on_opened(number)
        try:
            reason = await connection.run()
        finally:
            del self._serving[number]
            self.initiative.left(number)
        session = connection.acceptor.session.state.value
        log.info("connection closed", connection=number, reason=reason, session=session)
        self.on_closed(number, reason)

    def _connection(self, number: int, stream: TLSStream) -> Connection:
        """Put a connection together, directed or left to itself."""
        framer = framer_for(self._dialect.framing, self._network.frame_bytes_max, network_side=True)
        state: dict[str, Any] = {
            "codec": self._codec,
            "issuer": self._issuer,
            "counters": self.frames,
            "keep_alives_max": self._limits.keep_alives_max,
            "session": self._session(),
        }
        shell: dict[str, Any] = {
            "framer": framer,
            "journal": self._journal,
            "delayed": self.delayed,
            "wake_timer": self._wake_timer,
            "network": self._network,
            "limits": self._limits,
            "now_us": self._now_us,
        }
        if self._direction is None:
            plain = Acceptor(dialect=self._dialect, framer=framer, **state)
            return Connection(stream, acceptor=plain, **shell)
        if self._direction.only_keys:
            authentic = AuthenticAcceptor(direction=self._direction, framer=framer, **state)
            return Connection(stream, acceptor=authentic, **shell)
        return ScriptedConnection(
            stream,
            number=number,
            acceptor=ScriptedAcceptor(
                number=number, direction=self._direction, framer=framer, **state
            ),
            elsewhere=self._elsewhere,
            initiate=self._initiate,
            time_factor=self._direction.time_factor,
            **shell,
        )

    def _session(self) -> Session:
        keys = None if self._direction is None else self._direction.keys
        return Session(
            self._dialect,
            sign_on_required=self._admission.sign_on_required,
            new_key=None if keys is None else lambda: keys.mint(self._now_us()).elements(),
        )

    def _elsewhere(self, connection: ScriptedConnection) -> ScriptedConnection:
        """Another connection that is signed on, or the same where there is none."""
        for other in self._serving.values():
            if (
                other is not connection
                and isinstance(other, ScriptedConnection)
                and other.acceptor.session.signed_on
            ):
                return other
        return connection

    def _initiate(self, function: str, connection: ScriptedConnection) -> None:
        if not (function.isdecimal() or function in self._dialect.network_functions):
            log.warning("the dialect has no such function", function=function)
            return
        self.initiative.begin_asking(function, connection=connection.number)

    async def _send_delayed(self) -> None:
        while True:
            self._timer = trio.CancelScope(deadline=self.delayed.next_due_at)
            with self._timer:
                await trio.sleep_forever()
            self.delayed.send_due(trio.current_time())

    def _wake_timer(self) -> None:
        self._timer.deadline = self.delayed.next_due_at


def _ignore(_reason: str) -> None:
    """Nobody wants to know."""


def _ignore_opened(_number: int) -> None:
    """Nobody wants to know."""


def _ignore_closed(_number: int, _reason: str) -> None:
    """Nobody wants to know."""
