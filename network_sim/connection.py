"""One acquirer's connection: a reader, a writer and a watch around the pure `Acceptor`.

Theory of operation. The reader hands each read to the acceptor, has the lines recorded and puts
the answers into the outbox, all without a checkpoint between; then it sends the outbox in one
`send_all`, before it reads on. So the answers to everything that one read brought leave together,
and a peer that does not read its answers is not listened to either: the outbox holds at most what
one read led to, and the delayed answers, which are bounded themselves. The writer sends those, when
their time comes. (A writer for everything would cost each batch one more round of the scheduler:
19 instead of 13 µs of CPU a message with twenty in flight.)

Time limits are looked at by the watch a few times a second instead of being set up for each read
and write.

Whatever ends a connection is a reason in words: `run` returns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import trio

from chassis.bell import Bell
from chassis.framing import FrameError, FramePhase, Framer, FrameTimer
from chassis.log import get_logger
from chassis.settings.tree import Network, Simulator
from network_sim.acceptor import Acceptor, Reaction
from network_sim.decisions import Moment
from network_sim.delays import DelayedAnswers
from network_sim.journal import Journal
from network_sim.session import Answered

WATCH_INTERVAL_S: Final = 0.5  # what a time limit may be overrun by
CLOSE_TIMEOUT_S: Final = 1.0  # for the TLS close alert; then the socket is just closed
LOST: Final = "connection lost"
LEFT: Final = "the acquirer left"

log = get_logger(__name__)


class Connection:
    """A signed-on peer, or one that may yet become so.

    Args:
        stream: after the TLS handshake and the check of the peer's name.
        acceptor: this connection's protocol state.
        framer: the one that `acceptor` uses; watched for frames that do not end.
        journal: the network's record.
        delayed: the process's waiting answers.
        wake_timer: called after an answer was added to `delayed`.
        network: frame time limits.
        limits: the other limits.
        now_us: the wall clock, microseconds since 1970.

    Attributes:
        acceptor: as given.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        acceptor: Acceptor,
        framer: Framer,
        journal: Journal,
        delayed: DelayedAnswers,
        wake_timer: Callable[[], None],
        network: Network,
        limits: Simulator,
        now_us: Callable[[], int],
    ) -> None:
        self._stream = stream
        self.acceptor = acceptor
        self._journal = journal
        self._delayed = delayed
        self._wake_timer = wake_timer
        self._limits = limits
        self._now_us = now_us
        self._frame_timer = FrameTimer(
            framer,
            header_timeout_s=network.frame_header_timeout_s,
            body_timeout_s=network.frame_body_timeout_s,
        )
        self._outbox: list[bytes] = []
        self._outbox_filled = Bell()  # wakes the writer
        self._sent = Bell()  # wakes the one of reader and writer that waits for the other
        self._sending_since: float | None = None  # None = nobody is sending
        self._heard_at = trio.current_time()
        self._tasks = trio.CancelScope()  # reader, writer and watch
        self._ended = ""  # why; empty while it goes on

    async def run(self) -> str:
        """Serve until the connection ends; close it; return why it ended.

        Raises:
            JournalError: a decision could not be recorded; it was not answered.
        """
        try:
            with self._tasks:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._watch)
                    await self._read()
        finally:
            self._end("stopped")
            with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                await self._close()
            self.acceptor.questions.lose()
        return self._ended

    async def _close(self) -> None:
        await self._stream.aclose()

    def ask(self, fields: Mapping[int, str], answered: Answered) -> None:
        """Send an 0800 of the network's own; `answered` hears of its 0810, or of the end."""
        if self._ended:
            answered(None)
            return
        self.send(self.acceptor.ask(fields, answered, Moment.at(self._now_us())))

    def send(self, answer: bytes) -> None:
        """Queue framed answers; dropped once the connection has ended."""
        if not self._ended:
            self._outbox.append(answer)
            self._outbox_filled.ring()

    def finish(self, reason: str) -> None:
        """Take no more, send what is queued, then close. The watch bounds how long that takes."""
        self._end(reason)
        self._outbox_filled.ring()

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason

    async def _read(self) -> None:
        while True:
            try:
                data = await self._stream.receive_some()
                ending = LEFT
            except trio.BrokenResourceError:
                data, ending = b"", LOST
            if not data:
                self._end(ending)
                self._tasks.cancel()
            if self._ended:
                return
            now = trio.current_time()
            self._heard_at = now
            self._react(bytes(data), now)
            self._frame_timer.observe(now)
            await self._after_reading()

    def _react(self, data: bytes, now: float) -> None:
        try:
            reaction = self.acceptor.receive(data, Moment.at(self._now_us()))
        except FrameError as error:
            reaction = Reaction(close=str(error))
        if reaction.lines:
            self._journal.write(reaction.lines)
        if reaction.output:
            self._outbox.append(reaction.output)
        for delay_ms, answer in reaction.delayed:
            self._delayed.add(now + delay_ms / 1000, partial(self.send, answer))
        if reaction.delayed:
            self._wake_timer()
        if reaction.fault:
            log.warning("message refused", reason=reaction.fault)
        if reaction.close:
            self.finish(reaction.close)

    async def _after_reading(self) -> None:
        """What the reader does before it reads on."""
        await self._flush()

    async def _write(self) -> None:
        while not self._ended:
            if self._outbox:
                await self._flush()
            else:
                await self._outbox_filled.wait()
        await self._flush()
        self._tasks.cancel()

    async def _flush(self) -> None:
        """Send what is queued; one task at a time, since a TLS stream takes one sender."""
        while self._sending_since is not None:
            await self._sent.wait()
        if not self._outbox:
            return
        chunk = b"".join(self._outbox)
        self._outbox.clear()
        self._sending_since = trio.current_time()
        try:
            await self._stream.send_all(chunk)
        except trio.BrokenResourceError:
            self._end(LOST)
            self._tasks.cancel()
        self._sending_since = None
        self._sent.ring()

    async def _watch(self) -> None:
        while True:
            await trio.sleep(WATCH_INTERVAL_S)
            reason = self._overdue(trio.current_time())
            if reason:
                self._end(reason)
                self._tasks.cancel()

    def _overdue(self, now: float) -> str:
        phase = self._frame_timer.overdue(now)
        if phase is not FramePhase.NOTHING:
            return f"the {phase.name.lower()} of a frame did not arrive in time"
        since = self._sending_since
        if since is not None and now - since > self._limits.write_timeout_s:
            return "the peer does not read: write overdue"
        if now - self._heard_at > self._limits.idle_timeout_s:
            return "nothing heard for too long"
        return ""
