"""One connection: a socket, the parser of its requests and the answers it owes, in order.

Theory of operation
-------------------
One task owns the connection: it registers the socket, waits for the end and closes it. Reading is
not its business: `readiness` calls `_on_readable`. A request becomes an `Exchange`, the handler
gets it synchronously and answers at once or later, from whatever task finds out the answer; there
is no task, lock or cancel scope per request. Answers leave in the order of the requests: the deque
holds every exchange not yet written, and what stands finished at its front is joined and sent in
one call.

Sending is synchronous too. The socket takes nearly always everything; what it does not take is
kept, a writer task is started for just this remainder, and nothing more is read from a peer that
does not read itself. So a connection holds at most `pipeline_depth_max` answers, one receive of
requests and one head or body under way.

An answer that is alone is sent at once. Answers to pipelined requests that become ready in
different tasks of one tick wait for the end of that tick and leave together.

Time limits are kept by one sweeper for all connections (`server`): it calls `check`, which
compares clocks, and answers or gives up.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

import trio

from api.errors import Problem
from api.http.answer import CONTINUE, Answer, answer_bytes
from api.http.exchange import Exchange
from api.http.parser import RECEIVE_BYTES, Phase, Rejection, Request, RequestParser
from api.http.readiness import Readiness
from api.http.tls import TLSFilter
from chassis.log import get_logger
from chassis.settings import API

log = get_logger(__name__)

LINGER_S: Final = 2.0  # how long input is thrown away so that the last answer is not reset
LINGER_BYTES_MAX: Final = 1_048_576


class Host(Protocol):
    """What a connection needs of its server."""

    limits: API
    draining: bool
    readiness: Readiness

    def next_request_id(self) -> bytes:
        """16 random bytes."""

    def handle(self, exchange: Exchange) -> None:
        """Answer it now or later; total, never raises."""

    def finished(self, exchange: Exchange, status: int) -> None:
        """Count an answered exchange."""

    def date_line(self, monotonic_s: float) -> bytes:
        """The Date header of now."""

    def flush_soon(self, connection: Connection) -> None:
        """Call `flush` once at the end of this tick."""

    def start_writer(self, connection: Connection) -> None:
        """Run `write_unsent` in a task of its own."""


class Connection:
    """One accepted socket; `run` is the task that owns it."""

    __slots__ = (
        "_backlog",
        "_corked",
        "_discarded",
        "_ended",
        "_ending",
        "_exchanges",
        "_host",
        "_input_ended",
        "_lingering_since",
        "_parser",
        "_peer",
        "_phase_since",
        "_proceeding",
        "_reading",
        "_requests",
        "_socket",
        "_tls",
        "_unsent",
        "_unsent_since",
        "dirty",
    )

    def __init__(
        self, host: Host, sock: socket.socket, context: ssl.SSLContext | None, *, peer: str
    ) -> None:
        self._host = host
        self._socket = sock
        self._peer = peer
        self._tls = TLSFilter(context) if context is not None else None
        self._parser = RequestParser(host.limits)
        self._phase_since = monotonic()
        self._requests = 0
        self._backlog: deque[Request | Rejection] = deque()  # parsed, not yet begun
        self._exchanges: deque[Exchange] = deque()  # begun, not yet written
        self._corked = False  # a burst is being begun: its answers leave together
        self._unsent = b""
        self._unsent_since = 0.0
        self._ending = False  # no further request is begun; what is owed is still written
        self._lingering_since = 0.0  # when the last answer had been written
        self._reading = False  # watched; paused while the peer does not take its answers
        self._proceeding = False
        self._input_ended = False  # the peer has nothing more to say, or nothing that matters
        self._discarded = 0  # bytes received after the end
        self._ended = trio.Event()
        self.dirty = False  # waiting for `flush` at the end of the tick

    async def run(self) -> None:
        """Serve until either side ends the connection; closes the socket."""
        self._watch()
        try:
            await self._ended.wait()
        finally:
            self._pause()
            self._exchanges.clear()
            self._backlog.clear()
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _watch(self) -> None:
        self._host.readiness.watch(self._socket, self._on_readable)
        self._reading = True

    def _pause(self) -> None:
        self._host.readiness.forget(self._socket)
        self._reading = False

    def _on_readable(self) -> None:
        """Take what has arrived, once; called by the host's readiness task, so it never raises."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                self._input_ended = True
            elif self._ending:
                self._discarded += len(data)
                self._input_ended = self._discarded > LINGER_BYTES_MAX
            else:
                self._receive(data)
        except BlockingIOError:
            return
        except (OSError, ssl.SSLError):
            self._abort()  # the peer is gone or speaks no TLS: there is nobody to tell
            return
        except Exception:
            log.exception("a connection failed")  # a fault of ours must not end the others
            self._abort()
            return
        if self._backlog or self._unsent or self._input_ended:
            self._proceed()

    def _proceed(self) -> None:
        """Begin what waits, as far as the pipeline has room; read on, pause, or end."""
        if self._proceeding:
            return  # called by what is begun below
        self._proceeding = True
        while self._backlog and self._has_room():
            self._begin_requests()
        self._proceeding = False
        may_read = not (self._backlog or self._unsent or self._input_ended)
        if may_read is not self._reading:
            if may_read:
                self._watch()
            else:
                self._pause()
        if self._input_ended and not (self._exchanges or self._unsent):
            self._ended.set()

    def _has_room(self) -> bool:
        return not self._unsent and len(self._exchanges) < self._host.limits.pipeline_depth_max

    def _receive(self, data: bytes) -> None:
        if self._tls is not None:
            try:
                data = self._tls.receive(data)
            finally:
                self._send_raw(self._tls.outgoing())
            self._input_ended = self._tls.ended
        parser = self._parser
        phase, begun = parser.phase, parser.messages_begun
        arrived = parser.feed(data)
        if parser.phase is not phase or parser.messages_begun != begun:
            self._phase_since = monotonic()
        if arrived:
            self._backlog.extend(arrived)
            self._begin_requests()
        if parser.continue_awaited:
            self._answer_expectation()

    def _begin_requests(self) -> None:
        """Hand waiting requests to the handler, as many as the pipeline takes."""
        host, backlog, exchanges = self._host, self._backlog, self._exchanges
        self._corked = True
        while backlog and len(exchanges) < host.limits.pipeline_depth_max and not self._ending:
            item = backlog.popleft()
            if type(item) is Rejection:
                self._reject(Problem(item.code, item.detail))
                break
            self._requests += 1
            now, keep_alive = monotonic(), item.keep_alive
            exchange = Exchange(
                self, item, host.next_request_id(), now, not keep_alive, peer=self._peer
            )
            exchanges.append(exchange)
            if exchange.last:
                self._ending = True
                backlog.clear()
            host.handle(exchange)
        self._corked = False
        if exchanges and exchanges[0].wire is not None:
            self.flush()

    def _reject(self, problem: Problem) -> None:
        """Owe a last answer to what was no request."""
        self._ending = True
        self._backlog.clear()
        request = Request(b"", b"", {}, b"", keep_alive=False)
        exchange = Exchange(self, request, self._host.next_request_id(), monotonic(), last=True)
        self._exchanges.append(exchange)
        exchange.problem(problem)

    def _answer_expectation(self) -> None:
        """Invite a body that waits for `100 Continue`, when its turn has come."""
        if not self._exchanges and not self._ending:
            self._parser.continue_awaited = False
            self._send(CONTINUE)

    def answered(self, exchange: Exchange, answer: Answer) -> bool:
        """Keep an exchange's answer until its turn; False if the connection is gone."""
        exchanges, host = self._exchanges, self._host
        if not exchanges:
            return False
        if answer.close or (host.draining and exchange is exchanges[-1] and not self._backlog):
            exchange.last = self._ending = True
        exchange.wire = answer_bytes(
            answer,
            request_id=exchange.request_id,
            date=host.date_line(monotonic()),
            close=exchange.last,
            without_body=exchange.request.method == b"HEAD",
        )
        host.finished(exchange, answer.head.status)
        if self._corked:
            return True
        if len(exchanges) == 1:
            self.flush()
        elif not self.dirty:
            self.dirty = True
            host.flush_soon(self)
        return True

    def flush(self) -> None:
        """Write the answers whose turn has come, in one send."""
        self.dirty = False
        exchanges = self._exchanges
        ready: list[bytes] = []
        while exchanges and (wire := exchanges[0].wire) is not None:
            ready.append(wire)
            if exchanges.popleft().last:
                exchanges.clear()
                self._backlog.clear()
                self._lingering_since = monotonic()
        if not ready:
            return
        self._send(ready[0] if len(ready) == 1 else b"".join(ready))
        if self._lingering_since and not self._unsent:
            self._shut_down_sending()
        if self._parser.continue_awaited:
            self._answer_expectation()
        if not self._reading:
            self._proceed()

    def _send(self, data: bytes) -> None:
        self._send_raw(data if self._tls is None else self._tls.protect(data))

    def _send_raw(self, data: bytes) -> None:
        if not data:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._abort()
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._unsent_since = monotonic()
            self._host.start_writer(self)

    async def write_unsent(self) -> None:
        """Write what the socket did not take at once."""
        try:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (OSError, trio.ClosedResourceError):
            self._abort()
            return
        if self._lingering_since:
            self._shut_down_sending()
        self._proceed()

    def _shut_down_sending(self) -> None:
        """Tell the peer that the last answer has been written; `_read` throws away the rest."""
        if self._tls is not None:
            self._send_raw(self._tls.close())
        with suppress(OSError):  # the peer was quicker
            self._socket.shutdown(socket.SHUT_WR)

    def _abort(self) -> None:
        """Give up what is owed; the task closes the socket."""
        self._ending = True
        self._exchanges.clear()
        self._backlog.clear()
        self._unsent = b""
        self._ended.set()

    def check(self, now: float) -> None:
        """Enforce the time limits; called by the sweeper."""
        limits = self._host.limits
        if self._unsent:
            if now - self._unsent_since > limits.body_timeout_s:
                self._abort()
        elif self._lingering_since:
            if now - self._lingering_since > LINGER_S:
                self._abort()
        elif self._exchanges:
            for exchange in list(self._exchanges):
                if now - exchange.arrived_at > limits.request_deadline_s:
                    exchange.problem(Problem("answer_overdue", retry_after_s=1))
        else:
            self._check_phase(now - self._phase_since)

    def _check_phase(self, elapsed_s: float) -> None:
        limits, phase = self._host.limits, self._parser.phase
        if phase is Phase.IDLE:
            patience_s = limits.idle_timeout_s if self._requests else limits.head_timeout_s
            if elapsed_s > patience_s:
                self._abort()
        elif elapsed_s > (limits.head_timeout_s if phase is Phase.HEAD else limits.body_timeout_s):
            self._reject(Problem("request_timeout"))

    def end_if_idle(self) -> None:
        """End a connection on which nothing is under way; for draining."""
        if self._exchanges or self._unsent or self._parser.phase is not Phase.IDLE:
            return
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            self._abort()  # nothing has arrived that was not read yet
        except OSError:
            pass  # the task is about to see the same
