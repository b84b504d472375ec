"""A reader of a stream in Kafka: pages of what was committed, over all partitions.

Theory of operation
-------------------
A cursor counts as the shard's log counts, not as Kafka does: for each partition it names the least
offset of the log that is still wanted there. Kafka's own offsets have gaps (each transaction's
marker takes one in each partition) and mean nothing to anybody else; these are the leaves of the
audit log, stand in the event, and are the same when the topic is written anew.

Kafka cannot find a message by such an offset. So where a reader does not go on from where it was,
it looks for its place in each partition by probing (`places`).

A partition from which old messages were removed does not tell which they were. A cursor before what
is left there is refused (`StreamMissingError`), rather than passing over what may be a gap.
"""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from typing import Final, Self

import trio
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import Message as Received

from chassis.settings.kafka import Kafka
from chassis.settings.tree import Stream
from ledger.stream.backend import Cursor, Page
from ledger.stream.kafka.clients import (
    as_stream_error,
    cause_of,
    consumer_properties,
    events_topic,
    place_of,
)
from ledger.stream.kafka.messages import Found, read_message
from ledger.stream.kafka.places import find_places
from ledger.stream.kafka.positions import partition_count, read_positions
from ledger.stream.record import DESCRIPTOR_ID

THREADS: Final = 1  # a reader is for one task
FETCH_MESSAGES: Final = 1_000  # taken from the client at once, and held
HIGH_WATER_S: Final = 5.0
SLICE_S: Final = 0.1  # of a wait: a reader that is canceled is heard within this


class KafkaReader:
    """`ledger.stream.backend.Reader` over Kafka.

    Args:
        settings: where it is, and how long an answer may take.
        limits: how long a read waits.
        shard: which stream.
    """

    def __init__(self, settings: Kafka, limits: Stream, *, shard: int) -> None:
        self._settings = settings
        self._shard = shard
        self._topic = events_topic(settings, shard)
        self._wait_s = limits.read_wait_s
        self._limiter = trio.CapacityLimiter(THREADS)
        self._consumer: Consumer | None = None
        self._at: dict[int, int] = {}  # by partition: nothing before this is wanted any more
        self._high_water: Cursor = {}
        self._high_water_until = -math.inf
        self._seen = 0  # the offset behind the last record that was given out
        self._held: deque[Found] = deque()
        self._behind: set[int] = set()  # partitions whose end nobody has seen since the last seek

    async def __aenter__(self) -> Self:
        """Make the client; it asks for nothing yet."""
        await trio.lowlevel.checkpoint()
        self._consumer = Consumer(consumer_properties(self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of it."""
        if self._consumer is not None:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._consumer.close, limiter=self._limiter)
            self._consumer = None

    async def high_water(self) -> Cursor:
        """The cursor behind everything that is committed; at most `HIGH_WATER_S` old.

        Idle consumers ask at every turn, and an answer takes a read of the positions. It is never
        before what this reader has given out: who compares it with a cursor would take the stream
        for another one.

        Raises:
            StreamAwayError, StreamMissingError, StreamCorruptError: It cannot be told.
        """
        if trio.current_time() < self._high_water_until:
            await trio.lowlevel.checkpoint()
            return self._not_before_seen()
        read = partial(read_positions, self._settings, self._shard)
        positions = await trio.to_thread.run_sync(read, limiter=self._limiter)
        state = positions.state
        if state is None:  # how many partitions there are is not known, so it is asked again
            return dict.fromkeys(self._at or (0,), self._seen)
        self._high_water_until = trio.current_time() + HIGH_WATER_S
        self._high_water = dict.fromkeys(range(state.partitions), state.next_offset)
        return self._not_before_seen()

    def _not_before_seen(self) -> Cursor:
        return {one: max(end, self._seen) for one, end in self._high_water.items()}

    async def read(self, cursor: Cursor, records_max: int, bytes_max: int) -> Page:
        """Return what follows `cursor`, of whichever partitions; empty when nothing came.

        Raises:
            StreamCorruptError, StreamMissingError: As `ledger.stream.backend` says.
            StreamAwayError: no broker answers.
        """
        await trio.lowlevel.checkpoint()
        if not self._at or any(self._at[p] != cursor.get(p, 0) for p in self._at):
            await trio.to_thread.run_sync(partial(self._seek, cursor), limiter=self._limiter)
        ends_at = trio.current_time() + self._wait_s
        while not self._held:
            left_s = ends_at - trio.current_time()
            if left_s <= 0 and not self._behind:
                return Page([], {}, cursor)
            wait_s = min(SLICE_S, max(left_s, 0.0) or SLICE_S)
            fetch = partial(self._fetch, wait_s)
            await trio.to_thread.run_sync(fetch, limiter=self._limiter)
        return self._page(cursor, records_max, bytes_max)

    def _page(self, cursor: Cursor, records_max: int, bytes_max: int) -> Page:
        records: list[tuple[int, int, bytes]] = []
        descriptors: dict[bytes, bytes] = {}
        after = dict(cursor)
        size = 0
        held = self._held
        while held and len(records) < records_max:
            found = held[0]
            size += len(found.record)
            if records and size > bytes_max:
                break
            held.popleft()
            records.append((found.partition, found.offset, found.record))
            self._seen = max(self._seen, found.offset + 1)
            descriptors[found.record[DESCRIPTOR_ID]] = found.descriptor
            after[found.partition] = self._at[found.partition] = found.offset + 1
        return Page(records, descriptors, after)

    # ----------------------------------------------------------------------- in worker threads

    def _seek(self, cursor: Cursor) -> None:
        """Go to a cursor's place in every partition."""
        consumer = self._entered
        self._held.clear()
        self._at = {}
        count = partition_count(consumer, self._topic, self._settings.answer_timeout_s)
        wanted = {one: cursor.get(one, 0) for one in range(count)}
        try:
            timeout_s = self._settings.answer_timeout_s
            consumer.assign(find_places(consumer, self._topic, wanted, timeout_s=timeout_s))
        except KafkaException as failure:
            raise as_stream_error(cause_of(failure), doing=f"seeking in {self._topic}") from None
        self._at = wanted
        self._behind = set(wanted)

    def _fetch(self, wait_s: float) -> None:
        """Take what the client has, or wait for the first of it."""
        try:
            received = self._entered.consume(1, wait_s)
            if received:
                received += self._entered.consume(FETCH_MESSAGES, 0)
        except KafkaException as failure:
            raise as_stream_error(cause_of(failure), doing=f"reading {self._topic}") from None
        for message in received:
            self._take(message)

    def _take(self, message: Received) -> None:
        partition, at = place_of(message)
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._behind.discard(partition)
            elif not error.retriable():
                raise as_stream_error(error, doing=f"reading {self._topic}")
            return
        found = read_message(self._topic, partition, at, message.headers() or ())
        if found.offset >= self._at[partition]:
            self._held.append(found)

    @property
    def _entered(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError("the reader is not open")
        return self._consumer
