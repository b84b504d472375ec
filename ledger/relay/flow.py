"""From an open replication session into the stream: three tasks and a bounded buffer.

Theory of operation
-------------------
The *reader* takes what the server sends, makes whole transactions of it and puts them into the
buffer. The *sink* takes all that waits, appends it as one batch, and moves the mark. While one
append is under way, the next batch gathers. What costs is not a change but every waking: a look at
the socket, a thread that waits for the disk. So while there is traffic the reader looks every
`batch_interval_ms`, and says when the sink is to append: what a look finds is one batch, and the
sink has no clock of its own. The first change after silence waits for nothing, and what waits is
appended before the reader waits for the server. The *messenger* tells the server how far the stream
is: on its own timer, and at once where the server asks.

*A server that waits for us.* It sends each message by itself, and the kernel gives a Unix socket
room for some 165 of them, however short they are. When it finds no room it waits, and decodes
nothing meanwhile. So a look that finds as many as the socket holds, or what was committed more
than an interval before it was sent, is followed by another as soon as the socket can be full again,
until one finds little; their batch is held for that long. (To look so often that the server never
has to wait was tried: events are seen 15 ms sooner, and both processes take a tenth to a fifth more
CPU.)

A slow disk therefore stops nobody but itself: the buffer fills up to its bound, the reader stops
reading, the server's own buffers fill and its walsender waits; meanwhile the messenger goes on, so
the server does not give us up. And nothing is acknowledged that is not durable, because the
messenger only ever reports the writer's mark.

*An idle stream.* WAL of tables that are not published brings no records, but it fills the server's
disk while our slot pins it. When the server says how far it has read, and everything before that
is in the stream, the mark moves there by an append of its own, and only then the acknowledgment:
a slot is never ahead of the stream, so a slot that is ahead means that something is wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import trio

from chassis import crash_points
from chassis.bell import Bell
from chassis.log import get_logger
from chassis.settings.tree import Relay as Limits
from ledger.errors import LedgerError
from ledger.relay.connection import ReplicationSession
from ledger.relay.health import Health
from ledger.relay.replication import sent_at_us, status_update
from ledger.relay.transactions import Assembler, Portion, Reached, Tampering
from ledger.stream.backend import Batch, Writer
from ledger.stream.errors import StreamError, StreamFullError
from ledger.stream.record import Mark

ENVELOPES_MAX: Final = 2_048  # taken in one go: two milliseconds of work
FULL_RETRY_S: Final = 1.0  # between tries to append to a stream without room
FULL_SOCKET: Final = 128  # envelopes of one look from which on the server may be waiting for room
HURRIED_PAUSE_S: Final = 0.002  # then: as long as it takes the server to fill the socket
HURRIED_HOLD_S: Final = 0.01  # by which a batch may be late, so that it has all that was waiting
EARLY_SHARE: Final = 0.9  # of the interval: what comes by the reader's next look is not held up

_log = get_logger(__name__)


class Flow:
    """One session's flow, from its start to its end.

    Args:
        session: on which the changes flow.
        writer: of the stream.
        mark: the stream's.
        assembler: told what the stream has already.
        given: descriptors that the writer has been given since it was opened; added to.
        limits: the relay's settings.
        health: kept true.
        now_us: Unix microseconds.
        on_tampering: told what should never happen, once that is in the stream.
    """

    def __init__(
        self,
        session: ReplicationSession,
        writer: Writer,
        mark: Mark,
        assembler: Assembler,
        given: set[bytes],
        *,
        limits: Limits,
        health: Health,
        now_us: Callable[[], int],
        on_tampering: Callable[[list[Tampering]], Awaitable[None]],
    ) -> None:
        self.mark = mark
        self._session = session
        self._writer = writer
        self._assembler = assembler
        self._given = given
        self._limits = limits
        self._health = health
        self._now_us = now_us
        self._on_tampering = on_tampering
        self._waiting: deque[Portion] = deque()
        self._waiting_records = 0
        self._received_lsn = mark.end_lsn
        self._append_wanted = False
        self._next_append_at = 0.0
        self._idle_lsn = 0  # where the WAL holds nothing more for us, once the buffer is empty
        self._arrived, self._room, self._asked = Bell(), Bell(), Bell()

    async def run(self) -> None:
        """Let the changes flow until the session ends or the writer fails; never returns.

        Raises:
            ConnectionLostError, ReplicationEndedError: the session is over.
            PgoutputError: the server sent what nobody understands.
            StreamError: the stream cannot go on.
        """
        failures: list[LedgerError] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._sink)
                nursery.start_soon(self._report)
        except* LedgerError as group:
            failures = list(_leaves(group))
        if failures:  # several at once: what the stream says is worse than a lost session
            raise max(failures, key=lambda failure: isinstance(failure, StreamError))

    # ---------------------------------------------------------------------------------- reader

    async def _read(self) -> None:
        assembler, health = self._assembler, self._health
        interval_us = self._limits.batch_interval_ms * 1_000
        committed_at_us = 0
        while True:
            envelopes = self._session.take(ENVELOPES_MAX)
            if not envelopes:
                self._want_append()
                envelopes = await self._session.receive(ENVELOPES_MAX)
            for item in assembler.feed(envelopes):
                if isinstance(item, Portion):
                    committed_at_us = item.committed_at_us
                    self._waiting.append(item)
                    self._waiting_records += len(item.records)
                    self._received_lsn = item.end_lsn or self._received_lsn
                else:
                    self._reached(item)
            health.dropped_total += assembler.dropped_total
            health.messages_total += assembler.messages_total
            assembler.dropped_total = assembler.messages_total = 0
            health.buffered_records = self._waiting_records
            health.buffered_records_peak = max(health.buffered_records_peak, self._waiting_records)
            if self._waiting:
                late_us = sent_at_us(envelopes[-1]) - committed_at_us
                hurried = len(envelopes) >= FULL_SOCKET or late_us > interval_us
                due_at = self._next_append_at + (HURRIED_HOLD_S if hurried else 0.0)
                is_full = self._waiting_records >= self._limits.batch_records_max
                if is_full or trio.current_time() >= due_at:
                    self._want_append()
                await trio.sleep(HURRIED_PAUSE_S if hurried else interval_us / 1_000_000)
            else:
                self._arrived.ring()
                await trio.lowlevel.checkpoint()
            while self._waiting_records >= self._limits.buffer_records_max:
                self._want_append()
                await self._room.wait()

    def _want_append(self) -> None:
        self._append_wanted = True
        self._arrived.ring()

    def _reached(self, reached: Reached) -> None:
        self._received_lsn = max(self._received_lsn, reached.lsn)
        if not self._assembler.in_transaction:
            self._idle_lsn = reached.lsn
            if not self._waiting:
                self._health.reached_lsn = max(self._health.reached_lsn, reached.lsn)
        if reached.reply_wanted:
            self._asked.ring()

    # ------------------------------------------------------------------------------------ sink

    async def _sink(self) -> None:
        limits = self._limits
        interval_s = EARLY_SHARE * limits.batch_interval_ms / 1_000
        next_idle_mark_at = trio.current_time()
        while True:
            now = trio.current_time()
            if self._waiting and self._append_wanted:
                self._next_append_at = now + interval_s
                await self._append(self._gather())
            elif not self._waiting and self._idle_lsn > self.mark.end_lsn:
                if now >= next_idle_mark_at:
                    next_idle_mark_at = now + limits.idle_mark_interval_s
                    await self._append(Batch([], [], self._mark_at(self._idle_lsn)))
                    self._health.idle_marks_total += 1
                else:
                    with trio.move_on_at(next_idle_mark_at):
                        await self._arrived.wait()
            else:
                await self._arrived.wait()

    def _gather(self) -> Batch:
        """All that waits, up to a batch; transactions whole, but for one that is larger."""
        waiting = self._waiting
        records: list[bytes] = []
        descriptors: list[bytes] = []
        mark = self.mark
        while waiting and (
            not records or len(records) + len(waiting[0].records) <= self._limits.batch_records_max
        ):
            portion = waiting.popleft()
            records += portion.records
            descriptors += [item for item in portion.descriptors if item not in self._given]
            if portion.end_lsn is not None:
                mark = self._mark_at(portion.end_lsn)
        self._waiting_records -= len(records)
        self._append_wanted = self._waiting_records >= self._limits.batch_records_max
        return Batch(records, descriptors, mark)

    async def _append(self, batch: Batch) -> None:
        health = self._health
        crash_points.reach(crash_points.BEFORE_APPEND)
        while True:
            try:
                # Lost sessions cancel what is under way; what has been begun here must be known.
                with trio.CancelScope(shield=True):
                    next_offset = await self._writer.append(batch)
                break
            except StreamFullError as error:
                if not health.stream_full:
                    _log.error("stream_full", reason=str(error))
                health.stream_full = True
                await trio.sleep(FULL_RETRY_S)
        if health.stream_full:
            _log.warning("stream_has_room_again")
            health.stream_full = False
        crash_points.reach(crash_points.AFTER_APPEND)
        self.mark = batch.mark
        self._given.update(batch.descriptors)
        health.next_offset = next_offset
        health.durable_lsn = self.mark.end_lsn
        reached = self.mark.end_lsn if self._waiting else max(self.mark.end_lsn, self._idle_lsn)
        health.reached_lsn = max(health.reached_lsn, reached)
        health.buffered_records = self._waiting_records
        if batch.records:
            health.batches_total += 1
            health.records_total += len(batch.records)
            health.bytes_total += sum(map(len, batch.records))
        self._room.ring()
        if self._assembler.tampering:
            found, self._assembler.tampering = self._assembler.tampering, []
            health.tampering_total += len(found)
            await self._on_tampering(found)

    def _mark_at(self, end_lsn: int) -> Mark:
        return Mark(self.mark.system_identifier, self.mark.timeline, end_lsn)

    # ------------------------------------------------------------------------------- messenger

    async def _report(self) -> None:
        """Tell the server what is durable: on our own timer, and when it asks."""
        while True:
            message = status_update(
                received_lsn=max(self._received_lsn, self.mark.end_lsn),
                durable_lsn=self.mark.end_lsn,
                now_us=self._now_us(),
            )
            await self._session.send(message)
            crash_points.reach(crash_points.AFTER_FEEDBACK)
            self._health.feedbacks_total += 1
            with trio.move_on_after(self._limits.feedback_interval_s):
                await self._asked.wait()


def _leaves(group: ExceptionGroup[LedgerError]) -> Iterator[LedgerError]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
