"""Finding where in Kafka's partitions the offsets of the shard's log are, by probing.

A probe goes to one of Kafka's offsets and looks at the first message that can be read there. The
log's offsets grow along a partition, so the place is found by galloping back from the end and then
by halves: some two probes for each doubling of the distance from the end. All partitions are probed
at once, so a search takes as many rounds as its longest one takes probes.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition

from ledger.stream.errors import StreamAwayError, StreamMissingError
from ledger.stream.kafka.clients import as_stream_error, place_of
from ledger.stream.kafka.messages import read_message

FIRST_STEP: Final = 4  # back from the end: the last record, and the marker behind it
STEP_FACTOR: Final = 4
_MESSAGES: Final = 100
_POLL_S: Final = 0.05


class Probe(NamedTuple):
    """The first message at or behind a place.

    Attributes:
        at: Kafka's offset of it.
        offset: the log's.
    """

    at: int
    offset: int


Search = Generator[int, Probe | None, int]  # yields where to probe; None is sent for the end


def search(wanted: int, low: int, high: int) -> Search:
    """Find where to read one partition from so as to miss nothing from `wanted` on.

    Args:
        wanted: an offset of the log.
        low: Kafka's offset of the oldest message that is left.
        high: behind the newest.

    Raises:
        StreamMissingError: what followed `wanted` may have been removed.
    """
    if low > 0:
        first = yield low
        if first is None or wanted < first.offset:
            begins = f"what is left begins at {first.offset}" if first else "nothing is left"
            raise StreamMissingError(f"what followed offset {wanted} may be lost: {begins}")
    elif wanted == 0:
        return low
    begin, end, step = low, high, FIRST_STEP
    while (at := high - step) > low:
        probe = yield at
        if probe is not None and probe.offset < wanted:
            begin = probe.at + 1
            break
        end, step = at, step * STEP_FACTOR
    while begin < end:
        middle = (begin + end) // 2
        probe = yield middle
        if probe is None or probe.offset >= wanted:
            end = middle
        else:
            begin = probe.at + 1
    return begin


def find_places(
    consumer: Consumer, topic: str, wanted: Mapping[int, int], *, timeout_s: float
) -> list[TopicPartition]:
    """Where to read partitions from so as to miss nothing from offsets of the log on; blocks.

    Args:
        consumer: reads committed messages only, and tells of partitions' ends. What it was
            assigned to is used up.
        topic: of the events.
        wanted: an offset of the log, by partition.
        timeout_s: for one answer.

    Raises:
        StreamMissingError: what was there may have been removed.
        StreamAwayError: no broker answers in time.
        StreamCorruptError: a message there is not ours.
        KafkaException: the client's, for the caller to understand.
    """
    found: dict[int, int] = {}
    searches: dict[int, Search] = {}
    for partition, offset in wanted.items():
        place = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(place, timeout=timeout_s)
        searches[partition] = search(offset, low, high)
    answers: dict[int, Probe | None] = dict.fromkeys(searches)
    while answers:
        probing: dict[int, int] = {}
        for partition, answer in answers.items():
            try:
                probing[partition] = searches[partition].send(answer)
            except StopIteration as ended:
                found[partition] = ended.value
            except StreamMissingError as error:
                raise StreamMissingError(f"{topic}[{partition}]: {error}") from None
        answers = _probe(consumer, topic, probing, timeout_s)
    return [TopicPartition(topic, partition, at) for partition, at in found.items()]


def _probe(
    consumer: Consumer, topic: str, places: Mapping[int, int], timeout_s: float
) -> dict[int, Probe | None]:
    """Look at one place in each of some partitions."""
    answers: dict[int, Probe | None] = {}
    if places:
        consumer.assign([TopicPartition(topic, one, at) for one, at in places.items()])
    ends_at = time.monotonic() + timeout_s
    while len(answers) < len(places):
        if time.monotonic() > ends_at:
            raise StreamAwayError(f"looking for a place in {topic}: no answer in time")
        for message in consumer.consume(_MESSAGES, _POLL_S):
            partition, at = place_of(message)
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                if not error.retriable():
                    raise as_stream_error(error, doing=f"looking for a place in {topic}")
                continue
            if at < places.get(partition, at) or partition in answers:
                continue  # of a probe before, or more than was asked for
            answers[partition] = None
            if error is None:
                found = read_message(topic, partition, at, message.headers() or ())
                answers[partition] = Probe(at, found.offset)
    return answers
