"""Finding the place of an offset of the shard's log in a partition of Kafka, by probing.

A probe goes to one of Kafka's offsets and looks at the first message that can be read there. The
log's offsets grow along a partition, so the place is found by galloping back from the end and then
by halves: some two probes for each doubling of the distance from the end.
"""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from ledger.stream.errors import StreamAwayError, StreamMissingError
from ledger.stream.kafka.clients import as_stream_error, place_of
from ledger.stream.kafka.messages import read_message

FIRST_STEP: Final = 4  # back from the end: the last record, and the marker behind it
STEP_FACTOR: Final = 4
_POLL_S: Final = 0.2


class Places:
    """Finds places in one topic; blocks. The consumer's assignment is used up by it.

    Args:
        consumer: reads committed messages only, and tells of partitions' ends.
        topic: of the events.
        timeout_s: for one answer.
    """

    def __init__(self, consumer: Consumer, topic: str, timeout_s: float) -> None:
        self._consumer = consumer
        self._topic = topic
        self._timeout_s = timeout_s

    def find(self, partition: int, wanted: int) -> TopicPartition:
        """Where to read a partition from so as to miss nothing from an offset of the log on.

        Raises:
            StreamMissingError: what was there may have been removed.
            StreamAwayError: no broker answers in time.
            StreamCorruptError: a message there is not ours.
            KafkaException: the client's, for the caller to understand.
        """
        place = TopicPartition(self._topic, partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=self._timeout_s)
        place.offset = low
        if wanted == 0 and low == 0:
            return place
        if low > 0:
            self._refuse_gap(partition, low, wanted)
        begin, end = self._gallop(partition, wanted, low, high)
        while begin < end:
            middle = (begin + end) // 2
            probe = self._probe(partition, middle)
            if probe is None or probe[1] >= wanted:
                end = middle
            else:
                begin = probe[0] + 1
        place.offset = begin
        return place

    def _gallop(self, partition: int, wanted: int, low: int, high: int) -> tuple[int, int]:
        """Bounds of the place: something before the first one is too old, the second one is not."""
        step, end = FIRST_STEP, high
        while (at := high - step) > low:
            probe = self._probe(partition, at)
            if probe is not None and probe[1] < wanted:
                return probe[0] + 1, end
            end = at
            step *= STEP_FACTOR
        return low, end

    def _refuse_gap(self, partition: int, low: int, wanted: int) -> None:
        first = self._probe(partition, low)
        if first is None or wanted < first[1]:
            begins = f"what is left begins at {first[1]}" if first else "nothing is left"
            raise StreamMissingError(
                f"{self._topic}[{partition}] may have lost what followed offset {wanted}: {begins}"
            )

    def _probe(self, partition: int, at: int) -> tuple[int, int] | None:
        """The first message at or behind a place: (Kafka's offset, the log's); None at the end."""
        self._consumer.assign([TopicPartition(self._topic, partition, at)])
        ends_at = time.monotonic() + self._timeout_s
        while time.monotonic() < ends_at:
            for message in self._consumer.consume(1, _POLL_S):
                error = message.error()
                if error is None:
                    _, here = place_of(message)
                    found = read_message(self._topic, partition, here, message.headers() or ())
                    return here, found.offset
                if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    return None
                if not error.retriable():
                    raise as_stream_error(error, doing=f"looking for a place in {self._topic}")
        raise StreamAwayError(f"looking for a place in {self._topic}: no answer in time")
