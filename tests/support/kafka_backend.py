"""The Kafka back end on a cluster of a test's own, for tests that hold for every back end."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from chassis.settings.kafka import Kafka
from chassis.settings.tree import Stream
from ledger.stream.kafka.reader import KafkaReader
from ledger.stream.kafka.topics import create_topics
from ledger.stream.kafka.writer import KafkaWriter
from tests.support.stream import SMALL


class KafkaBackend:
    """A stream in topics of its own."""

    hears_within_s = 2.0  # three JVMs share two cores with the test, and with whatever else runs

    def __init__(self, bootstrap: str, prefix: str, *, partitions: int = 1) -> None:
        self.kafka = Kafka(
            bootstrap_servers=bootstrap,
            topic_prefix=prefix,
            partitions=partitions,
            transaction_timeout_s=20.0,
        )

    @classmethod
    def create(cls, bootstrap: str, *, partitions: int = 1) -> KafkaBackend:
        """An empty stream under a prefix that nobody else has."""
        backend = cls(bootstrap, f"test-{os.urandom(6).hex()}", partitions=partitions)
        create_topics(backend.kafka, 0)
        return backend

    @property
    def address(self) -> list[str]:
        """What another process needs to open the same stream."""
        return ["kafka", self.kafka.bootstrap_servers, self.kafka.topic_prefix]

    def writer(self, **changes: Any) -> KafkaWriter:
        """A writer, not yet open."""
        return KafkaWriter(self.kafka, self._limits(changes), shard=0)

    def reader(self, **changes: Any) -> KafkaReader:
        """A reader, to be entered."""
        return KafkaReader(self.kafka, self._limits(changes), shard=0)

    def _limits(self, changes: dict[str, Any]) -> Stream:
        return msgspec.structs.replace(SMALL, **changes)
