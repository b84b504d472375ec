"""What the client's failures mean, and what it is given to begin with."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from confluent_kafka import KafkaError

from chassis.settings.kafka import Kafka
from ledger.stream.errors import (
    StreamAbortedError,
    StreamAwayError,
    StreamError,
    StreamFatalError,
    StreamFencedError,
    StreamMissingError,
)
from ledger.stream.kafka.clients import (
    as_stream_error,
    client_properties,
    consumer_properties,
    producer_properties,
)

SETTINGS = Kafka(bootstrap_servers="127.0.0.1:9092", topic_prefix="pay")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KafkaError(KafkaError._FENCED, fatal=True), StreamFencedError),
        (KafkaError(KafkaError.INVALID_PRODUCER_EPOCH, fatal=True), StreamFencedError),
        (KafkaError(KafkaError.PRODUCER_FENCED, fatal=True), StreamFencedError),
        (KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True), StreamFatalError),
        (KafkaError(KafkaError._MSG_TIMED_OUT, txn_requires_abort=True), StreamAbortedError),
        (KafkaError(KafkaError.NOT_COORDINATOR, retriable=True), StreamAwayError),
        (KafkaError(KafkaError._ALL_BROKERS_DOWN), StreamAwayError),
        (KafkaError(KafkaError._TIMED_OUT), StreamAwayError),
        (KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), StreamMissingError),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), StreamFatalError),
    ],
)
def test_a_failure_tells_what_may_be_done_about_it(
    error: KafkaError, kind: type[StreamError]
) -> None:
    """Again, anew, never, or after somebody has made the topics."""
    found = as_stream_error(error, doing="appending")
    assert type(found) is kind
    assert str(found).startswith("appending: ")


def test_a_producer_is_as_safe_as_kafka_can_be() -> None:
    """All replicas, no doubles, one writer a shard, Java's partitions."""
    properties = producer_properties(SETTINGS, 3)
    expected = {
        "transactional.id": "pay.forwarder.3",
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
    }
    assert expected.items() <= properties.items()
    assert consumer_properties(SETTINGS)["isolation.level"] == "read_committed"


def test_an_operators_properties_come_last(tmp_path: Path) -> None:
    """TLS and passwords stand in a file of the forwarder's own, not in the settings."""
    file = tmp_path / "own"
    file.write_text("# ours\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n")
    settings = msgspec.structs.replace(SETTINGS, properties_file=str(file))
    properties = client_properties(settings)
    assert (properties["security.protocol"], properties["sasl.password"]) == ("SASL_SSL", "a=b")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "FileNotFoundError"), ("hunter2", "line 1: it has no `=`")]
)
def test_a_properties_file_that_cannot_be_used_is_not_quoted(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    """It may hold a password."""
    file = tmp_path / "own"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StreamFatalError, match=reason) as refused:
        client_properties(msgspec.structs.replace(SETTINGS, properties_file=str(file)))
    assert "hunter2" not in str(refused.value)


def test_servers_must_be_named() -> None:
    """There is no default that could be somebody else's cluster."""
    with pytest.raises(StreamFatalError, match=r"kafka\.bootstrap_servers is not set"):
        client_properties(Kafka())
