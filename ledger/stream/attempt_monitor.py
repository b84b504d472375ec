"""Watching the stream for attempts that nobody finished, and telling people.

It runs in the relay's process, on a session of its own, and never on the path of a payment: it
reads what the relay has written, as any consumer. Each finding is held to the ledger before it is
told, because the stream may be behind; then it is an error in the log with its ids, a count in the
metrics, and an exception of kind `attempt_unfinished`, once.

Its cursor is the oldest attempt that is still open. After a restart it reads again from there and
knows again what it knew; what it told before is not told twice, as an exception about an attempt is
opened once. The relay sets it back where the stream was lost and begins anew; the monitor notices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Never

import attrs
import trio

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.settings.tree import Stream
from ledger.ids import public_id
from ledger.pgtypes import text_, uuid_, uuid_array
from ledger.statements import QUERIES, Runner
from ledger.stream.backend import Cursor, Reader
from ledger.stream.consumer import TRANSIENT
from ledger.stream.cursors import CursorMovedError, FloorCursor
from ledger.stream.parking import reason_of
from ledger.stream.unfinished import OpenAttempts, Unfinished

GROUP: Final = "attempt_monitor"
KIND: Final = "attempt_unfinished"  # of exception
RESTART_S: Final = 5.0  # after a fault, such as a damaged stream: the log repeats it
FOLLOW_S: Final = 0.25  # between reads: what is read so soon is still in a processor's cache
_FINISHED: Final = QUERIES["finished_attempts"]
_OPEN: Final = QUERIES["open_unfinished_exception"]

_log = get_logger(__name__)


@attrs.define
class Figures:
    """For metrics.

    Attributes:
        open: attempts that have no outcome yet, as far as the stream is read.
        unfinished: told so far.
        let_go: no longer followed, for want of room.
        next_offset: how far the stream is read.
    """

    open: int = 0
    unfinished: int = 0
    let_go: int = 0
    next_offset: int = 0


async def watch_attempts(
    open_reader: Callable[[], Reader],
    database: Runner,
    *,
    limits: Stream,
    now_us: Callable[[], int],
    figures: Figures,
) -> Never:
    """Watch for as long as the process lasts, whatever happens: a fault here is nobody else's.

    Args:
        open_reader: makes a reader of the stream.
        database: where findings are checked and told.
        limits: page sizes, grace, and how much is followed.
        now_us: the wall clock.
        figures: counted into.
    """
    while True:
        try:
            async with open_reader() as reader:
                await AttemptMonitor(
                    reader, database, limits=limits, now_us=now_us, figures=figures
                ).run()
        except Exception as error:  # noqa: BLE001  whatever it is: the relay goes on
            _log.error("attempt monitor stopped", why=reason_of(error), again_in_s=RESTART_S)
        await trio.sleep(RESTART_S)


class AttemptMonitor:
    """Follows one shard's stream.

    Args:
        reader: entered; the monitor's own.
        database: where findings are checked and told.
        limits: page sizes, grace, and how much is followed.
        now_us: the wall clock.
        shard: which.
        figures: counted into; its own unless given.

    Attributes:
        figures: what was found so far.
    """

    def __init__(
        self,
        reader: Reader,
        database: Runner,
        *,
        limits: Stream,
        now_us: Callable[[], int],
        shard: int = 0,
        figures: Figures | None = None,
    ) -> None:
        self._reader = reader
        self._database = database
        self._limits = limits
        self._now_us = now_us
        self._attempts = self._none_open()
        self._floor = FloorCursor(database, GROUP, shard)
        self._caught_up = False
        self._look_due_at = 0.0
        self.figures = figures or Figures()

    async def run(self) -> Never:
        """Watch until canceled; a database that is away is waited for.

        Raises:
            StreamCorruptError, StreamMissingError, RecordError: the stream cannot be read.
        """
        backoff = Backoff(
            min_s=self._limits.consumer_retry_min_s, max_s=self._limits.consumer_retry_max_s
        )
        cursor: Cursor | None = None
        while True:
            try:
                if cursor is None:
                    cursor = await self._floor.read()
                    self._attempts = self._none_open()
                cursor = await self.step(cursor)
                backoff.reset()
                if self._caught_up:  # following each append would cost several times as much
                    await trio.sleep(min(self._limits.unfinished_look_s, FOLLOW_S))
            except CursorMovedError as error:
                _log.warning("attempt monitor begins again", why=str(error))
                cursor = None
            except TRANSIENT as error:
                _log.warning("attempt monitor waits", why=type(error).__name__)
                await trio.sleep(backoff.next_delay_s())

    def _none_open(self) -> OpenAttempts:
        return OpenAttempts(
            grace_us=round(self._limits.unfinished_grace_s * 1_000_000),
            open_max=self._limits.unfinished_open_max,
        )

    async def step(self, cursor: Cursor) -> Cursor:
        """Read one page and, once a second, tell what is late; where to go on."""
        page = await self._reader.read(
            cursor, self._limits.consumer_records_max, self._limits.consumer_bytes_max
        )
        self._attempts.take(page.records, page.descriptors)
        self._caught_up = len(page.records) < self._limits.consumer_records_max
        next_offset = page.cursor.get(0, 0)
        figures, attempts = self.figures, self._attempts
        figures.open, figures.let_go, figures.next_offset = (
            *(len(attempts), attempts.let_go),
            next_offset,
        )
        if not page.records or trio.current_time() >= self._look_due_at:
            # Behind the stream's end only what it has reached counts as time.
            now_us = attempts.newest_us if page.records else self._now_us()
            await self._tell(attempts.overdue(now_us))
            await self._floor.save(attempts.floor(next_offset))
            self._look_due_at = trio.current_time() + self._limits.unfinished_look_s
        return page.cursor

    async def _tell(self, late: Sequence[Unfinished]) -> None:
        if not late:
            return
        params = [
            uuid_array([one.intent_id for one in late]),
            uuid_array([one.attempt_id for one in late]),
        ]
        finished = set((await self._database.run(_FINISHED, params)).column(0))
        for one in late:
            if one.attempt_id not in finished:  # else the stream is behind
                await self._tell_of(one)
            self._attempts.forget(one.attempt_id)

    async def _tell_of(self, one: Unfinished) -> None:
        ids = [uuid_(one.intent_id), uuid_(one.transaction_id), uuid_(one.attempt_id)]
        await self._database.run(_OPEN, [text_(KIND), text_(one.network), *ids])
        self.figures.unfinished += 1
        _log.error(
            "attempt unfinished",
            payment_intent=public_id("pi", one.intent_id),
            attempt=public_id("att", one.attempt_id),
            network=one.network,
            mti=one.mti,
            offset=one.offset,
            late_s=round((self._now_us() - one.due_us) / 1_000_000, 1),
        )
