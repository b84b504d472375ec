"""Making the topics, and holding those that are there to what the stream needs."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic
from msgspec import Struct

from chassis.settings.kafka import Kafka
from ledger.stream.errors import StreamFatalError
from ledger.stream.kafka.clients import (
    as_stream_error,
    cause_of,
    client_properties,
    events_topic,
    positions_topic,
)

_POSITIONS_SEGMENT_BYTES: Final = 1_048_576  # of what is read whole at a start; then compacted


class Topic(Struct, frozen=True):
    """A topic as it should be made.

    Attributes:
        made: whether it was made now; it was there otherwise.
    """

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]
    made: bool = False


def wanted_topics(settings: Kafka, shard: int) -> list[Topic]:
    """The topics of a shard."""
    safe = {
        "min.insync.replicas": str(settings.min_insync_replicas),
        "unclean.leader.election.enable": "false",
    }
    events = {
        **safe,
        "cleanup.policy": "delete",
        "retention.ms": str(round(settings.retention_s * 1_000)),
        "max.message.bytes": str(settings.message_bytes_max),
    }
    positions = {
        **safe,
        "cleanup.policy": "compact",
        "segment.bytes": str(_POSITIONS_SEGMENT_BYTES),
        "min.cleanable.dirty.ratio": "0.1",
    }
    copies = settings.replication_factor
    return [
        Topic(events_topic(settings, shard), settings.partitions, copies, events),
        Topic(positions_topic(settings, shard), 1, copies, positions),
    ]


def create_topics(settings: Kafka, shard: int) -> list[Topic]:
    """Make what is missing, and check what is there; blocks. Making them twice is harmless.

    Raises:
        StreamAwayError: no broker answers in time.
        StreamFatalError: a topic is there and is not as it should be, or may not be made.
    """
    admin = AdminClient(client_properties(settings))
    timeout_s = settings.answer_timeout_s
    wanted = wanted_topics(settings, shard)
    made: list[Topic] = []
    futures = admin.create_topics(
        [
            NewTopic(
                one.name,
                num_partitions=one.partitions,
                replication_factor=one.replication_factor,
                config=one.config,
            )
            for one in wanted
        ],
        request_timeout=timeout_s,
    )
    for topic in wanted:
        try:
            futures[topic.name].result(timeout=2 * timeout_s)
        except KafkaException as failure:
            if cause_of(failure).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise as_stream_error(cause_of(failure), doing=f"making {topic.name}") from None
            _check(admin, topic, timeout_s)
            made.append(topic)
        else:
            made.append(_as_made(topic))
    return made


def _as_made(topic: Topic) -> Topic:
    return Topic(topic.name, topic.partitions, topic.replication_factor, topic.config, made=True)


def _check(admin: AdminClient, topic: Topic, timeout_s: float) -> None:
    """Hold a topic that is there to what it should be; of its settings, those that lose data."""
    try:
        found = admin.list_topics(topic.name, timeout=timeout_s).topics[topic.name]
        resource = ConfigResource(ResourceType.TOPIC, topic.name)
        [answer] = admin.describe_configs([resource], request_timeout=timeout_s).values()
        config = answer.result(timeout=2 * timeout_s)
    except KafkaException as failure:
        raise as_stream_error(cause_of(failure), doing=f"looking at {topic.name}") from None
    copies = min((len(one.replicas) for one in found.partitions.values()), default=0)
    differing = []
    if len(found.partitions) != topic.partitions:
        differing.append(f"{len(found.partitions)} partitions, not {topic.partitions}")
    if copies < topic.replication_factor:
        differing.append(f"{copies} replicas, not {topic.replication_factor}")
    differing += [
        f"{name} {config[name].value}, not {topic.config[name]}"
        for name in ("min.insync.replicas", "unclean.leader.election.enable", "cleanup.policy")
        if config[name].value != topic.config[name]
    ]
    if differing:
        raise StreamFatalError(f"{topic.name} has {'; '.join(differing)}")
