"""Running one consumer group: each event has its effect once, whatever dies.

Theory of operation
-------------------
A runner reads a page, asks its consumer for the steps that are the page's effect, and runs them in
one transaction with the step that moves the cursor. There is no second place where progress is
kept, so there is nothing that could disagree: after a death the cursor says what has had effect.
A second runner of the group, started by mistake, finds the cursor moved and stops.

What may go wrong, and what becomes of it:

- *The database is away, or busy*: the same page again, after a wait. When a connection is lost in
  the middle nobody knows what became of the transaction; the cursor does, so it is asked.
- *An event breaks the consumer*, by what its data is: the page is halved until the event is alone,
  and that one is parked (`parking`), in the transaction that goes past it. Events of the same
  payment that follow are taken in all the same; a consumer that must not do so refuses them too.
- *A repair repeated an event* that the stream had already: the consumer is asked which events of a
  repair it knows by id. Only repairs can repeat one, so nothing else is asked about.
- *The stream was lost and begins anew*: the relay sets cursors back, and the runner, which looks
  where its own stands, goes on there.
- *The ledger was set back to a backup*: records that it lost are gone past without effect. Until
  the relay has found out which, what has an effect waits (`LedgerUnsettledError`).
- *Too much is parked*: that is no odd event but a fault of ours. The runner stops and says so.

Memory is bounded by one page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Never, Protocol, TypeVar

import attrs
import trio
from msgspec import Struct

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.settings.tree import Stream
from ledger.connection import Step
from ledger.errors import (
    ConnectionLostError,
    DatabaseError,
    PoolOverloadError,
    RetryableError,
    RowError,
)
from ledger.statements import Runner
from ledger.stream.backend import Cursor, Page, Reader
from ledger.stream.cursors import (
    begin_cursor,
    lost_ranges,
    move_steps,
    read_cursor,
    was_moved_by_another,
)
from ledger.stream.errors import StreamError
from ledger.stream.events import Event, EventDecoder
from ledger.stream.parking import (
    count_parked,
    park_step,
    parked_to_retry,
    reason_of,
    unpark_step,
)
from ledger.stream.record import FLAGS_AT, REPAIR

# The database is away or busy: what was asked of it is asked again.
TRANSIENT: Final = (RetryableError, ConnectionLostError, PoolOverloadError)
T = TypeVar("T")

_log = get_logger(__name__)


class EventRefusedError(StreamError):
    """A consumer will not take in an event; says why, without its data."""


class LedgerUnsettledError(StreamError):
    """The ledger was perhaps set back to before an event; it is read again later."""


class ConsumerStoppedError(StreamError):
    """A runner cannot go on: another one runs its group, or too many events are parked."""


class Delivery(Struct, frozen=True):
    """One record on its way into a consumer; decoded only where asked for.

    Attributes:
        partition: where it stands.
        offset: likewise.
        record: its bytes.
        page: whose descriptors it needs.
        decoder: of its shard.
    """

    partition: int
    offset: int
    record: bytes
    page: Page
    decoder: EventDecoder

    @property
    def is_repair(self) -> bool:
        """Whether it was read from the tables after a gap, and may be a repeat."""
        return bool(self.record[FLAGS_AT] & REPAIR)

    def event(self) -> Event:
        """The event; raises RecordError for one that cannot be read."""
        return self.decoder.decode(self.partition, self.offset, self.record, self.page.descriptors)


class Consumer(Protocol):
    """What a group does with events."""

    @property
    def group(self) -> str:
        """Its name: lower-case letters, digits, underscores."""

    async def plan(self, deliveries: Sequence[Delivery]) -> Sequence[Step]:
        """The statements that are the effect of these events, in their order.

        They run in one transaction with the cursor's move. Nothing else may be changed here: the
        same events are planned again when the transaction did not happen.

        Raises:
            EventRefusedError, RecordError: or whatever else the data provoke: one of the events
                cannot be taken in.
        """

    async def known(self, event_ids: Collection[bytes]) -> Collection[bytes]:
        """Which of these events, all of a repair, have had their effect before."""


@attrs.define
class Figures:
    """Counted since the start.

    Attributes:
        events: taken in.
        transactions: it took.
        repeats: dropped, because a repair repeated them.
        parked: put aside.
        lost: gone past, because the ledger was set back to a state before them.
        cursor: the offset of the next record, by partition.
    """

    events: int = 0
    transactions: int = 0
    repeats: int = 0
    parked: int = 0
    lost: int = 0
    cursor: Cursor = attrs.field(factory=dict)


class ConsumerRunner:
    """Runs one consumer over one shard's stream.

    Args:
        consumer: what to do with events.
        reader: entered; this runner's own.
        database: where effects and cursor are.
        limits: page sizes, waits, and how much may be parked.
        shard: which.
        decoder: of its events; one without previous versions unless given.

    Attributes:
        figures: what was done so far.
    """

    def __init__(
        self,
        consumer: Consumer,
        reader: Reader,
        database: Runner,
        *,
        limits: Stream,
        shard: int = 0,
        decoder: EventDecoder | None = None,
    ) -> None:
        self._consumer = consumer
        self._reader = reader
        self._database = database
        self._limits = limits
        self._shard = shard
        self._decoder = decoder or EventDecoder(shard=shard)
        self._retries_due_at = 0.0
        self._lost: list[range] = []
        self._unsettled = self._backoff()
        self.figures = Figures()

    async def run(self, start: Cursor | None = None, *, pause_s: float = 0.0) -> Never:
        """Take in events until canceled.

        Args:
            start: where a group that has never run begins; at the beginning unless given.
            pause_s: after a page that was not full: fewer and larger transactions.

        Raises:
            ConsumerStoppedError: another runner has the group, or too much is parked.
            StreamCorruptError, StreamMissingError: the stream cannot be read.
            DatabaseError: a statement is wrong, or not allowed.
        """
        group = self._consumer.group
        self.figures.cursor = await self._patiently(
            lambda: begin_cursor(self._database, group, self._shard, start or {0: 0})
        )
        while True:
            if await self.step() < self._limits.consumer_records_max:
                await trio.sleep(pause_s)

    async def step(self) -> int:
        """Read one page and take it in, and what operators want tried again; how many events."""
        if trio.current_time() >= self._retries_due_at:
            await self._retry_parked()
            await self._begin_again_if_the_stream_did(self.figures.cursor)
            self._lost = await self._patiently(lambda: lost_ranges(self._database))
            self._retries_due_at = trio.current_time() + self._limits.parked_check_s
        cursor = self.figures.cursor
        page = await self._reader.read(
            cursor, self._limits.consumer_records_max, self._limits.consumer_bytes_max
        )
        if not page.records:
            return 0
        try:
            await self._take(self._deliveries(page), cursor, page.cursor)
        except LedgerUnsettledError as error:
            self._retries_due_at = 0.0
            await self._wait(self._unsettled, error)
            return 0
        self._unsettled.reset()
        return len(page.records)

    async def _begin_again_if_the_stream_did(self, cursor: Cursor) -> None:
        """Go on where the ledger says if the stream ends before the cursor: it is another one."""
        ends = await self._reader.high_water()
        if any(offset > ends.get(partition, 0) for partition, offset in cursor.items()):
            self.figures.cursor = await self._patiently(self._read_cursor)
            _log.warning("stream is another one: begun again", group=self._consumer.group)

    def _deliveries(self, page: Page) -> list[Delivery]:
        return [Delivery(*found, page, self._decoder) for found in page.records]

    # ----------------------------------------------------------------------------- taking in

    async def _take(self, deliveries: list[Delivery], before: Cursor, after: Cursor) -> None:
        """Have events take effect and move the cursor past them; halve what breaks."""
        try:
            found = self._without_lost(deliveries)
            fresh = await self._patiently(lambda: self._without_repeats(found))
            steps = await self._patiently(lambda: self._consumer.plan(fresh)) if fresh else ()
            await self._commit(steps, before, after)
        except Exception as error:
            if not _is_of_the_data(error):
                raise
            await self._halve(deliveries, before, after, error)
        else:
            self.figures.events += len(fresh)

    async def _halve(
        self, deliveries: list[Delivery], before: Cursor, after: Cursor, error: Exception
    ) -> None:
        if len(deliveries) == 1:
            await self._park(deliveries[0], before, after, error)
            return
        middle = len(deliveries) // 2
        first, second = deliveries[:middle], deliveries[middle:]
        between = {**before, **{one.partition: one.offset + 1 for one in first}}
        await self._take(first, before, between)
        await self._take(second, between, after)

    async def _park(
        self, delivery: Delivery, before: Cursor, after: Cursor, error: Exception
    ) -> None:
        group = self._consumer.group
        parked = await self._patiently(lambda: count_parked(self._database, group, self._shard))
        if parked >= self._limits.parked_max:
            raise ConsumerStoppedError(
                f"{group} has {self._limits.parked_max} events parked and meets another: "
                f"{reason_of(error)}"
            ) from error
        await self._commit([self._park_step(delivery, error)], before, after)
        self.figures.parked += 1
        _log.error("event parked", group=group, offset=delivery.offset, reason=reason_of(error))

    def _park_step(self, delivery: Delivery, error: Exception) -> Step:
        return park_step(
            self._consumer.group,
            self._shard,
            delivery.partition,
            delivery.offset,
            delivery.record,
            reason_of(error),
        )

    async def _commit(self, steps: Sequence[Step], before: Cursor, after: Cursor) -> None:
        """Run an effect and the cursor's move as one transaction, as often as it takes."""
        moves = move_steps(self._consumer.group, self._shard, before, after)
        backoff = self._backoff()
        while True:
            try:
                await self._database.pipeline([*steps, *moves])
            except ConnectionLostError as error:
                await self._wait(backoff, error)
                now = await self._patiently(self._read_cursor)
                if {**now, **after} == now:
                    break  # it was committed, only its answer was lost
            except TRANSIENT as error:
                await self._wait(backoff, error)
            except DatabaseError as error:
                if was_moved_by_another(error):
                    raise ConsumerStoppedError(
                        f"another runner has moved the cursor of {self._consumer.group}"
                    ) from None
                raise
            else:
                break
        self.figures.transactions += 1
        self.figures.cursor = {**self.figures.cursor, **after}

    async def _read_cursor(self) -> Cursor:
        return await read_cursor(self._database, self._consumer.group, self._shard)

    def _without_lost(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Leave out what the ledger, set back, has never heard of."""
        if not self._lost:
            return deliveries
        found = [one for one in deliveries if not any(one.offset in lost for lost in self._lost)]
        self.figures.lost += len(deliveries) - len(found)
        return found

    async def _without_repeats(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Leave out what a repair repeated."""
        if not any(one.record[FLAGS_AT] & REPAIR for one in deliveries):  # looked at once a record
            return deliveries
        ids = {one.offset: one.event().id for one in deliveries if one.is_repair}
        seen = set(await self._consumer.known(set(ids.values())))
        fresh: list[Delivery] = []
        for one in deliveries:
            id_ = ids[one.offset] if one.is_repair else one.event().id
            if one.is_repair and id_ in seen:
                self.figures.repeats += 1
                continue
            seen.add(id_)
            fresh.append(one)
        return fresh

    # ------------------------------------------------------------------------------- retries

    async def _retry_parked(self) -> None:
        """Try again what operators asked for, one event a transaction."""
        group = self._consumer.group
        wanted = await self._patiently(lambda: parked_to_retry(self._database, group, self._shard))
        for partition, offset in wanted:
            # From where the others are, so that of theirs nothing old is in the page.
            others = await self._reader.high_water()
            page = await self._reader.read({**others, partition: offset}, 1, 1)
            for delivery in self._deliveries(page):
                if (delivery.partition, delivery.offset) == (partition, offset):
                    await self._retry(delivery)

    async def _retry(self, delivery: Delivery) -> None:
        place = (self._consumer.group, self._shard, delivery.partition, delivery.offset)
        try:
            steps = await self._patiently(lambda: self._consumer.plan([delivery]))
            await self._commit([*steps, unpark_step(*place)], {}, {})
        except Exception as error:
            if not _is_of_the_data(error):
                raise
            await self._commit([self._park_step(delivery, error)], {}, {})
        else:
            self.figures.events += 1
            _log.info("parked event taken in", group=place[0], offset=delivery.offset)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again for as long as the database is away or busy."""
        backoff = self._backoff()
        while True:
            try:
                return await ask()
            except TRANSIENT as error:
                await self._wait(backoff, error)

    def _backoff(self) -> Backoff:
        limits = self._limits
        return Backoff(min_s=limits.consumer_retry_min_s, max_s=limits.consumer_retry_max_s)

    async def _wait(self, backoff: Backoff, error: Exception) -> None:
        _log.warning("consumer waits", group=self._consumer.group, why=reason_of(error))
        await trio.sleep(backoff.next_delay_s())


def _is_of_the_data(error: Exception) -> bool:
    """Whether an event is at fault: not the database, its privileges, or a runner's end."""
    if isinstance(error, DatabaseError):
        return isinstance(error, RowError)
    return not isinstance(error, (ConsumerStoppedError, LedgerUnsettledError))
