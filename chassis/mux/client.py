"""The asking end of a mux."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Never, TypeVar, cast

import outcome
import trio
from trio.lowlevel import Task

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.mux.codec import BatchDecoder, MessageEncoder
from chassis.mux.connection import STREAM_ERRORS, Connection, MuxCounters
from chassis.mux.errors import MuxClosedError, MuxError, MuxOverloadError, MuxProtocolError
from chassis.mux.outbox import Outbox
from chassis.settings.tree import MuxLimits

Request = TypeVar("Request")
Reply = TypeVar("Reply")

log = get_logger(__name__)


class MuxClient(Generic[Request, Reply]):
    """Asks one peer over one connection at a time, and dials again when it is lost.

    Args:
        request_type: union of the tagged records it sends.
        reply_type: union of the tagged records it accepts.
        limits: the bounds of the connection.
        name: the peer's name, for errors and logs.

    Attributes:
        request_type: as given; callers' types are checked statically, the peer checks the bytes.
        last_failure: why the last connection or dial ended.
    """

    def __init__(self, *, request_type: Any, reply_type: Any, limits: MuxLimits, name: str) -> None:
        self.name = name
        self.counters = MuxCounters()
        self.last_failure = ""
        self._was_connected = False
        self.request_type = request_type
        self._reply_type = reply_type
        self._limits = limits
        self._encode = MessageEncoder(limits).encode
        self._outbox: Outbox | None = None
        self._next_id = 1
        # A waiting task, a function to deliver to, or None once forgotten.
        self._waiters: dict[int, trio.lowlevel.Task | Callable[[Any], None] | None] = {}

    @property
    def connected(self) -> bool:
        """Whether a request can be queued now."""
        return self._outbox is not None

    @property
    def in_flight(self) -> int:
        """Requests without a reply, forgotten ones included: the peer still works on them."""
        return len(self._waiters)

    def submit(self, request: Request, deliver: Callable[[Reply | MuxError], None]) -> int:
        """Queue a request and return its id at once.

        `deliver` is called exactly once, from the reading task: with the reply, or with
        MuxClosedError when the connection ends first. It must be quick and must not raise.

        Raises:
            MuxClosedError: there is no connection now.
            MuxOverloadError: too many requests in flight or waiting to be sent.
            MuxMessageTooLargeError: the request does not fit into a frame.
        """
        outbox = self._outbox
        if outbox is None:
            raise MuxClosedError(f"{self.name}: not connected")
        if len(self._waiters) >= self._limits.in_flight_max:
            self.counters.overload_total += 1
            raise MuxOverloadError(f"{self.name}: {len(self._waiters)} requests in flight")
        request_id = self._next_id
        try:
            outbox.put(self._encode(request_id, request))
        except MuxOverloadError:
            self.counters.overload_total += 1
            raise
        self._next_id = request_id + 1
        self._waiters[request_id] = deliver
        self.counters.sent_total += 1
        return request_id

    def forget(self, request_id: int) -> None:
        """Wait for this reply no longer; when it comes it is counted as late."""
        if request_id in self._waiters:
            self._waiters[request_id] = None

    async def call(self, request: Request) -> Reply:
        """Ask and wait for the reply; canceling forgets the request. Raises as `submit` does."""
        await trio.lowlevel.checkpoint_if_cancelled()
        request_id = self.submit(request, _nobody)
        self._waiters[request_id] = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._waiters[request_id] = None
            return trio.lowlevel.Abort.SUCCEEDED

        return cast("Reply", await trio.lowlevel.wait_task_rescheduled(abort))

    async def run(
        self,
        dial: Callable[[], Awaitable[trio.abc.Stream]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> Never:
        """Keep a connection up until canceled; started with the first one.

        `await nursery.start(client.run, dial)` therefore waits for the peer, `start_soon` does
        not. Lost connections are dialed again with full jitter; the delay starts over once the
        peer has answered something, so a peer that accepts and hangs up is not stormed.
        """
        backoff = Backoff(min_s=self._limits.reconnect_min_s, max_s=self._limits.reconnect_max_s)
        while True:
            try:
                with trio.fail_after(self._limits.connect_timeout_s):
                    stream = await dial()
            except (*STREAM_ERRORS, trio.TooSlowError) as error:
                self._failed(f"connecting failed: {type(error).__name__}: {error}")
            else:
                received_before = self.counters.received_total
                self._failed(await self._converse(stream, task_status))
                task_status = trio.TASK_STATUS_IGNORED
                if self.counters.received_total > received_before:
                    backoff.reset()
            await trio.sleep(backoff.next_delay_s())

    def _failed(self, reason: str) -> None:
        """Say why there is no connection, once for as long as the reason stays."""
        if reason != self.last_failure or self._was_connected:
            log.warning("mux_down", peer=self.name, reason=reason)
        self._was_connected = False
        self.last_failure = reason

    async def _converse(self, stream: trio.abc.Stream, task_status: trio.TaskStatus[None]) -> str:
        """Use one connection until it ends; return why it ended."""
        outbox = Outbox(self._limits)
        connection = Connection(stream, outbox)
        self._outbox = outbox
        self._was_connected = True
        log.info("mux_up", peer=self.name)
        task_status.started()
        try:
            await connection.run(
                BatchDecoder(self._reply_type, self._limits),
                self._on_replies,
                receive_bytes=self._limits.receive_bytes,
                counters=self.counters,
            )
        finally:
            self._outbox = None
            reason = connection.ended or "stopped"
            self._fail_waiters(f"{self.name}: {reason}")
        return reason

    def _on_replies(self, replies: list[tuple[int, Reply]]) -> None:
        waiters = self._waiters
        late = 0
        for request_id, reply in replies:
            try:
                waiter = waiters.pop(request_id)
            except KeyError:
                raise MuxProtocolError("a reply to no request in flight") from None
            if waiter is None:
                late += 1
            elif type(waiter) is Task:  # isinstance would ask Trio's metaclass, once a reply
                trio.lowlevel.reschedule(waiter, outcome.Value(reply))
            else:
                waiter(reply)
        self.counters.received_total += len(replies)
        self.counters.late_total += late

    def _fail_waiters(self, reason: str) -> None:
        waiters = self._waiters
        self._waiters = {}
        for waiter in waiters.values():
            if isinstance(waiter, trio.lowlevel.Task):
                trio.lowlevel.reschedule(waiter, outcome.Error(MuxClosedError(reason)))
            elif waiter is not None:
                waiter(MuxClosedError(reason))


def _nobody(_reply: object) -> None:
    """Stand where a task is about to wait."""
