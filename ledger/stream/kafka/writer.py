"""The writer of a stream in Kafka: one transaction a batch.

Theory of operation
-------------------
A batch's messages, the descriptors that are new, and the state that tells where the stream is then,
are one Kafka transaction. So the events and the place up to which they are there cannot disagree,
whoever dies when: `open` reads the state, and that is what there is.

There is one writer because there is one transactional id a shard. Who opens it fences whoever had
it before: Kafka ends that one's transaction, and refuses everything it sends later.

What may go wrong in an append, and what is known then:

- *The transaction was aborted*: nothing of it will ever be read. The same batch can be appended.
- *No answer in time*: it may have been committed. This writer is done with; the next one's `open`
  makes Kafka decide, and tells.
- *Fenced*, or any other final error: the process ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import trio
from confluent_kafka import KafkaException, Producer

from chassis.settings.kafka import Kafka
from chassis.settings.tree import Stream
from ledger.stream.backend import Batch
from ledger.stream.errors import (
    BatchError,
    StreamAbortedError,
    StreamAwayError,
    StreamFatalError,
)
from ledger.stream.kafka.clients import (
    as_stream_error,
    cause_of,
    events_topic,
    positions_topic,
    producer_properties,
)
from ledger.stream.kafka.messages import (
    DESCRIPTOR_KEY,
    STATE_KEY,
    Composer,
    Message,
    State,
    encode_state,
    leaf_of,
)
from ledger.stream.kafka.positions import events_partitions, read_positions
from ledger.stream.record import (
    DESCRIPTOR_ID,
    HEAD_BYTES,
    Mark,
    Position,
    descriptor_id,
    position_of,
)

THREADS: Final = 1  # a writer is for one task
_ROOM_POLL_S: Final = 0.05
T = TypeVar("T")


class KafkaWriter:
    """`ledger.stream.backend.Writer` over Kafka.

    Args:
        settings: where it is, and how long an answer may take.
        limits: bounds of a batch.
        shard: which stream.
    """

    def __init__(self, settings: Kafka, limits: Stream, *, shard: int) -> None:
        self._settings = settings
        self._limits = limits
        self._shard = shard
        self._events = events_topic(settings, shard)
        self._positions = positions_topic(settings, shard)
        self._limiter = trio.CapacityLimiter(THREADS)
        self._producer: Producer | None = None
        self._descriptors: dict[bytes, bytes] = {}
        self._composer = Composer(shard)
        self._composed: tuple[Batch, list[Message]] | None = None  # to be tried again
        self._partitions = 0
        self._state: State | None = None

    @property
    def next_offset(self) -> int:
        """The offset that the next record will get."""
        return self._state.next_offset if self._state else 0

    @property
    def last(self) -> Position | None:
        """Where the last record came from; None while there is none."""
        return self._state.last if self._state else None

    @property
    def mark(self) -> Mark | None:
        """The last durable mark; None for an empty stream."""
        return self._state.mark if self._state else None

    @property
    def leaf(self) -> str:
        """The last record's leaf hash; empty while there is none."""
        return self._state.leaf if self._state else ""

    async def open(self) -> Mark | None:
        """Become the writer, fencing whoever was; tell how far the stream is.

        Raises:
            StreamAwayError: no broker answers in time.
            StreamMissingError: there are no such topics.
            StreamCorruptError, StreamFatalError: as `ledger.stream.backend` says; also where the
                topic has another number of partitions than before.
        """
        await self._in_thread(self._open)
        return self.mark

    async def append(self, batch: Batch) -> int:
        """Store a batch, committed on return; the next offset.

        Readers have it moments later: Kafka answers a commit once the coordinator has decided it,
        and marks the partitions as committed behind that.

        Raises:
            BatchError, StreamAbortedError, StreamAwayError, StreamFatalError: As
                `ledger.stream.backend` says.
        """
        self._check(batch)
        return await self._in_thread(partial(self._append, batch))

    async def aclose(self) -> None:
        """Let go; a transaction that is under way is taken back when somebody opens the next."""
        await trio.lowlevel.checkpoint()
        self._producer = None

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call, limiter=self._limiter)

    # -------------------------------------------------------------------------------- opening

    def _open(self) -> None:
        settings = self._settings
        partitions = events_partitions(settings, self._shard)
        producer = Producer(producer_properties(settings, self._shard))
        try:
            producer.init_transactions(settings.answer_timeout_s)
        except KafkaException as failure:
            raise as_stream_error(cause_of(failure), doing="becoming the writer") from None
        found = read_positions(settings, self._shard)
        if found.state is not None and found.state.partitions != partitions:
            raise StreamFatalError(
                f"{self._events} has {partitions} partitions and had {found.state.partitions}: "
                "events of a payment would lose their order"
            )
        self._partitions, self._state = partitions, found.state
        self._descriptors = found.descriptors
        self._composer, self._composed = Composer(self._shard), None
        self._producer = producer

    # ------------------------------------------------------------------------------ appending

    def _check(self, batch: Batch) -> None:
        """Refuse a batch that breaks the rules before anything is sent."""
        limits = self._limits
        if not batch.records and batch.mark == self.mark:
            raise BatchError("a batch without records must move the mark")
        if len(batch.records) > limits.batch_records_max:
            raise BatchError(f"{len(batch.records)} records; at most {limits.batch_records_max}")
        if batch.records and min(map(len, batch.records)) <= HEAD_BYTES:
            raise BatchError("a record holds no change")
        size = sum(map(len, (*batch.descriptors, *batch.records)))
        if size > limits.batch_bytes_max:
            raise BatchError(f"{size} bytes in one batch; at most {limits.batch_bytes_max}")

    def _append(self, batch: Batch) -> int:
        producer = self._producer
        if producer is None:
            raise RuntimeError("the writer is not open")
        given = {descriptor_id(item): item for item in batch.descriptors}
        fresh = {id_: item for id_, item in given.items() if id_ not in self._descriptors}
        known = self._descriptors | fresh
        messages = self._compose(batch, known)
        state = self._state_after(batch)
        try:
            producer.begin_transaction()
            for message in messages:
                self._send(producer, self._events, message)
            for id_, descriptor in fresh.items():
                key = DESCRIPTOR_KEY + id_.hex().encode()
                self._send(producer, self._positions, Message(key, descriptor, []))
            self._send(producer, self._positions, Message(STATE_KEY, encode_state(state), []))
            producer.commit_transaction(self._settings.answer_timeout_s)
        except KafkaException as failure:
            self._fail(producer, failure)
        self._state, self._descriptors, self._composed = state, known, None
        return state.next_offset

    def _compose(self, batch: Batch, descriptors: dict[bytes, bytes]) -> list[Message]:
        if self._composed is not None and self._composed[0] is batch:
            return self._composed[1]
        unknown = {record[DESCRIPTOR_ID] for record in batch.records} - descriptors.keys()
        if unknown:
            raise BatchError("a record's descriptor was never given")
        compose = self._composer.compose
        messages = [
            compose(offset, record, descriptors)
            for offset, record in enumerate(batch.records, self.next_offset)
        ]
        largest = max((message.size for message in messages), default=0)
        if largest > (limit := self._settings.message_bytes_max - 1_024):
            raise BatchError(f"{largest} bytes in one message; at most {limit}")
        self._composed = batch, messages
        return messages

    def _state_after(self, batch: Batch) -> State:
        newest = batch.records[-1] if batch.records else None
        return State(
            next_offset=self.next_offset + len(batch.records),
            mark=batch.mark,
            last=position_of(newest) if newest is not None else self.last,
            leaf=leaf_of(newest) if newest is not None else self.leaf,
            partitions=self._partitions,
        )

    def _send(self, producer: Producer, topic: str, message: Message) -> None:
        """Hand a message to the client; wait where its buffer is full."""
        tries = math.ceil(self._settings.transaction_timeout_s / _ROOM_POLL_S)
        for _ in range(tries):
            try:
                producer.produce(
                    topic, value=message.value, key=message.key, headers=[*message.headers]
                )
            except BufferError:
                producer.poll(_ROOM_POLL_S)
            else:
                return
        self._producer = None
        raise StreamAwayError(f"sending to {topic}: no broker takes anything")

    def _fail(self, producer: Producer, failure: KafkaException) -> None:
        """Take the transaction back where that can be; always raises."""
        error = as_stream_error(cause_of(failure), doing=f"appending to {self._events}")
        if isinstance(error, StreamAbortedError):
            try:
                producer.abort_transaction(self._settings.answer_timeout_s)
            except KafkaException as second:
                self._producer = None
                raise as_stream_error(cause_of(second), doing="taking a batch back") from None
            raise error from None
        self._producer = None
        raise error from None
