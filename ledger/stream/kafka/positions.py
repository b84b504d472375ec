"""Reading how far the events are: the whole of the positions' topic, which is small and compacted.

Only what a transaction has brought there is read. A writer asks after it has fenced its
predecessor, which ends whatever that one had begun; so what it reads is what there is.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from msgspec import Struct

from chassis.settings.kafka import Kafka
from ledger.stream.errors import StreamAwayError, StreamMissingError
from ledger.stream.kafka.clients import (
    as_stream_error,
    cause_of,
    consumer_properties,
    events_topic,
    place_of,
    positions_topic,
)
from ledger.stream.kafka.messages import DESCRIPTOR_KEY, STATE_KEY, State, read_state
from ledger.stream.record import descriptor_id

MISSING_PATIENCE_S: Final = 2.0  # a topic just made is not known to every broker yet
_READ_MESSAGES: Final = 1_000
_POLL_S: Final = 0.2


class Positions(Struct):
    """What the topic says.

    Attributes:
        state: the newest; None while nothing was ever written.
        descriptors: those that writers have been given, by id.
    """

    state: State | None
    descriptors: dict[bytes, bytes]


def read_positions(settings: Kafka, shard: int) -> Positions:
    """Read the topic to its end; blocks.

    Raises:
        StreamAwayError: no broker answers in time.
        StreamMissingError: there is no such topic.
        StreamCorruptError: what stands there is not ours.
    """
    topic = positions_topic(settings, shard)
    found = Positions(None, {})
    ends_at = time.monotonic() + settings.answer_timeout_s
    with closing(Consumer(consumer_properties(settings))) as consumer:
        partition_count(consumer, topic, settings.answer_timeout_s)
        try:
            low, _ = consumer.get_watermark_offsets(
                TopicPartition(topic, 0), timeout=settings.answer_timeout_s
            )
            consumer.assign([TopicPartition(topic, 0, low)])
            while True:
                for message in consumer.consume(_READ_MESSAGES, _POLL_S):
                    error = message.error()
                    if error is None:
                        _take(found, topic, place_of(message)[1], message.key(), message.value())
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                        return found
                    elif not error.retriable():
                        raise as_stream_error(error, doing=f"reading {topic}")
                if time.monotonic() > ends_at:
                    raise StreamAwayError(f"reading {topic}: no answer in time")
        except KafkaException as failure:
            raise as_stream_error(cause_of(failure), doing=f"reading {topic}") from None


def partition_count(consumer: Consumer, topic: str, timeout_s: float) -> int:
    """How many partitions a topic has; blocks.

    Raises:
        StreamAwayError: no broker answers in time.
        StreamMissingError: there is no such topic.
    """
    patient_until = time.monotonic() + MISSING_PATIENCE_S
    while True:
        try:
            found = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
        except KafkaException as failure:
            raise as_stream_error(cause_of(failure), doing=f"asking for {topic}") from None
        if found.partitions and found.error is None:
            return len(found.partitions)
        if time.monotonic() > patient_until:
            raise StreamMissingError(f"{topic} is missing; turnout kafka create-topics makes it")
        time.sleep(_POLL_S)


def events_partitions(settings: Kafka, shard: int) -> int:
    """How many partitions the events have; blocks, raises as `partition_count`."""
    with closing(Consumer(consumer_properties(settings))) as consumer:
        return partition_count(consumer, events_topic(settings, shard), settings.answer_timeout_s)


def _take(found: Positions, topic: str, at: int, key: object, value: object) -> None:
    if not isinstance(key, bytes) or not isinstance(value, bytes):
        return  # a tombstone: an operator's, not ours
    if key == STATE_KEY:
        found.state = read_state(topic, at, value)
    elif key.startswith(DESCRIPTOR_KEY):
        found.descriptors[descriptor_id(value)] = value
