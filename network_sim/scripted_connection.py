"""One acquirer's connection where a script, a record or MACs are in play.

Everything that leaves goes through one row of steps (`network_sim.faults.deliveries`), which the
writer plays one after the other: so a frame can leave byte by byte, with pauses, and end the
connection in its middle, while the answers behind it wait their turn. The row is bounded by what
acquirers ask, since the reader goes on only when it is short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio

from chassis.framing import FrameError
from chassis.log import get_logger
from chassis.tls_stream import TLSStream
from network_sim.acceptor import Reaction
from network_sim.connection import LOST, Connection
from network_sim.decisions import Moment
from network_sim.faults.actions import HowToClose
from network_sim.faults.deliveries import Delivery, Note, Pause, Pools, Shut, Step, Steps, Write
from network_sim.scripted import ScriptedAcceptor

STEPS_MAX: Final = 65_536  # waiting to be played; the reader waits until there are fewer

log = get_logger(__name__)


class ScriptedConnection(Connection):
    """A connection that does what a script wants.

    Args:
        number: of the connection, from 1.
        acceptor: this connection's protocol state.
        elsewhere: gives another connection, or this one where there is no other.
        initiate: sends an 0800 of the network's own on a connection, by the function's name.
        time_factor: what seconds of pauses are multiplied by.
        others: as of `Connection`.

    Attributes:
        number: as given.
    """

    acceptor: ScriptedAcceptor

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        number: int,
        acceptor: ScriptedAcceptor,
        elsewhere: Callable[[ScriptedConnection], ScriptedConnection],
        initiate: Callable[[str, ScriptedConnection], None],
        time_factor: float,
        **others: Any,
    ) -> None:
        super().__init__(stream, acceptor=acceptor, **others)
        self.number = number
        self._elsewhere = elsewhere
        self._initiate = initiate
        self._time_factor = time_factor
        self._steps: deque[Step] = deque()
        self._pools = Pools()
        self._stall_s: float | None = None
        self._muted = False
        self._how: HowToClose = "goodbye"

    def send(self, answer: bytes) -> None:
        """Queue a frame; dropped once the connection has ended."""
        self.play((Write(answer),))

    def play(self, steps: Steps) -> None:
        """Queue steps; dropped once the connection has ended, or is muted."""
        if not (self._ended or self._muted):
            self._steps.extend(steps)
            self._outbox_filled.ring()

    def cut(self, how: HowToClose) -> None:
        """End the connection now, whatever is queued."""
        self._how = how
        self._end("cut on command")
        self._tasks.cancel()

    def mute(self) -> None:
        """Neither read nor write from now on, and keep the connection: a black hole."""
        self._muted = True
        self._steps.clear()
        self._stall_s = 0.0

    def _react(self, data: bytes, now: float) -> None:
        if self._muted:
            return
        try:
            reaction = self.acceptor.receive(data, Moment.at(self._now_us()))
        except FrameError as error:
            reaction = Reaction(close=str(error))
        self._stall_s = reaction.stall_s
        self._carry_out(reaction, now)

    def _carry_out(self, reaction: Reaction, now: float) -> None:
        if reaction.lines:
            self._journal.write(reaction.lines)
        for delivery in reaction.deliveries:
            self._dispatch(delivery, now)
        for function in reaction.initiatives:
            self._initiate(function, self)
        for after_s, resume in reaction.postponed:
            self._later(now + after_s, partial(self._resume, resume))
        if reaction.fault:
            log.warning("message refused", reason=reaction.fault)
        if reaction.close:
            self.finish(reaction.close)

    def _resume(self, resume: Callable[[Moment], Reaction]) -> None:
        """Take in what was postponed; the network does so also if its connection is gone."""
        self._carry_out(resume(Moment.at(self._now_us())), trio.current_time())

    def _dispatch(self, delivery: Delivery, now: float) -> None:
        if delivery.after_s > 0:
            self._later(now + delivery.after_s, partial(self._place, delivery))
        else:
            self._place(delivery)

    def _later(self, due_at: float, act: Callable[[], None]) -> None:
        self._delayed.add(due_at, act)
        self._wake_timer()

    def _place(self, delivery: Delivery) -> None:
        """Let a delivery leave, on the connection it is for."""
        target = self._elsewhere(self) if delivery.elsewhere else self
        if delivery.pool is None:
            target.play(delivery.steps)
            return
        steps, first = target._pools.add(delivery.steps, delivery.pool)  # noqa: SLF001  a sibling's
        target.play(steps)
        if first:
            flush = partial(target._flush_pool, delivery.pool.rule)  # noqa: SLF001
            within_s = delivery.pool.within_s * self._time_factor
            self._later(trio.current_time() + within_s, flush)

    def _flush_pool(self, rule: str) -> None:
        self.play(self._pools.flush(rule))

    async def _after_reading(self) -> None:
        """Read on when the peer has taken what there is, and the script allows it."""
        if self._stall_s is not None:
            if self._stall_s == 0:
                await trio.sleep_forever()
            await trio.sleep(self._stall_s)
        while len(self._steps) > STEPS_MAX and not self._ended:
            await self._sent.wait()
        await trio.lowlevel.checkpoint()

    async def _write(self) -> None:
        while True:
            if self._steps:
                await self._play(self._steps.popleft())
                self._sent.ring()
            elif self._ended:
                break
            else:
                await self._outbox_filled.wait()
        self._tasks.cancel()

    async def _play(self, step: Step) -> None:
        match step:
            case Write(data=data):
                await self._send(data)
            case Pause(s=seconds):
                await trio.sleep(seconds * self._time_factor)
            case Shut(how=how):
                self._how = how
                self._end("closed by the script")
                self._tasks.cancel()
            case Note(packed=packed, fields=fields, text=text):
                self.acceptor.note_sent(packed, fields, text, self._now_us())

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        self._sending_since = trio.current_time()
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self._end(LOST)
            self._tasks.cancel()
        self._sending_since = None
        await trio.lowlevel.checkpoint()  # each write a segment, and others have their turn

    async def _close(self) -> None:
        if self._how == "goodbye" or not isinstance(self._stream, TLSStream):
            await self._stream.aclose()
        else:
            await self._stream.aclose_without_goodbye(reset=self._how == "rst")
