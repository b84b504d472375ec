"""How librdkafka is set up, and what its failures mean to us.

Its calls block, so they run in worker threads, bounded in time; what its own threads have to say
comes out of the calls that we make, so there is nobody to poll for: no delivery reports are asked
for, since a message that is not delivered makes the transaction's commit fail.

Properties: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message

from chassis.log import get_logger
from chassis.settings.kafka import Kafka
from ledger.stream.errors import (
    StreamAbortedError,
    StreamAwayError,
    StreamError,
    StreamFatalError,
    StreamFencedError,
    StreamMissingError,
)

_FENCED: Final = frozenset(
    (
        KafkaError._FENCED,  # noqa: SLF001  librdkafka's own codes are named so
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    )
)
_AWAY: Final = frozenset(
    (
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
    )
)
_MISSING: Final = frozenset(
    (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    )
)
_SYSLOG_WARNING: Final = 4

_log = get_logger(__name__)


class ClientLog:
    """Takes what librdkafka logs, warnings and worse, into our log."""

    def log(self, level: int, text: str, *values: Any) -> None:
        """As `logging.Logger.log`, with its levels."""
        _log.warning("kafka_client", level=level, text=text % values if values else text)


def events_topic(settings: Kafka, shard: int) -> str:
    """The topic of a shard's events."""
    return f"{settings.topic_prefix}.events.{shard}"


def positions_topic(settings: Kafka, shard: int) -> str:
    """The compacted topic that says how far a shard's events are."""
    return f"{settings.topic_prefix}.positions.{shard}"


def client_properties(settings: Kafka) -> dict[str, Any]:
    """What every client is given, with the operator's own properties.

    Raises:
        StreamFatalError: no servers are set, or the properties file cannot be used.
    """
    if not settings.bootstrap_servers:
        raise StreamFatalError("kafka.bootstrap_servers is not set")
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "turnout",
        "log_level": _SYSLOG_WARNING,
        "log.connection.close": False,
        "reconnect.backoff.ms": 250,
        "reconnect.backoff.max.ms": 5_000,
        "allow.auto.create.topics": False,
        "logger": ClientLog(),
        **_own_properties(settings.properties_file),
    }


def producer_properties(settings: Kafka, shard: int) -> dict[str, Any]:
    """Of the one producer of a shard: its transactional id fences whoever was it before."""
    timeout_ms = round(settings.transaction_timeout_s * 1_000)
    return {
        **client_properties(settings),
        "transactional.id": f"{settings.topic_prefix}.forwarder.{shard}",
        "transaction.timeout.ms": timeout_ms,
        "message.timeout.ms": timeout_ms,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as Java's clients do it; librdkafka's own differs
        "compression.type": "lz4",
        "linger.ms": 5,
        "batch.size": 1_000_000,
        "message.max.bytes": settings.message_bytes_max,
        "queue.buffering.max.messages": 2 * settings.batch_records_max + 1_024,
    }


def consumer_properties(settings: Kafka) -> dict[str, Any]:
    """Of a reader: it says itself where it reads; Kafka's groups and their offsets are unused."""
    return {
        **client_properties(settings),
        "group.id": f"{settings.topic_prefix}.unused",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 50,
        "queued.max.messages.kbytes": 16_384,
        "check.crcs": True,
    }


def as_stream_error(error: KafkaError, *, doing: str) -> StreamError:
    """What a failure of the client means to who called.

    Args:
        error: the client's.
        doing: what was being done, for the message.
    """
    code = error.code()
    text = f"{doing}: {error.str()}"
    if code in _FENCED:
        return StreamFencedError(f"{doing}: another process has become the writer")
    if error.fatal():
        return StreamFatalError(text)
    if error.txn_requires_abort():
        return StreamAbortedError(text)
    if error.retriable() or code in _AWAY:
        return StreamAwayError(text)
    if code in _MISSING:
        return StreamMissingError(f"{text}; make it with: turnout kafka create-topics")
    return StreamFatalError(text)


def place_of(message: Message) -> tuple[int, int]:
    """Partition and Kafka's offset of what a consumer was given; -1 where an error has none."""
    partition, offset = message.partition(), message.offset()
    return -1 if partition is None else partition, -1 if offset is None else offset


def cause_of(failure: KafkaException) -> KafkaError:
    """The error that an exception of the client carries."""
    cause: KafkaError = failure.args[0]
    return cause


def _own_properties(file: str) -> dict[str, str]:
    if not file:
        return {}
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StreamFatalError(f"kafka.properties_file: {type(error).__name__}") from None
    properties: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise StreamFatalError(f"kafka.properties_file line {number}: it has no `=`")
        properties[name.strip()] = value.strip()
    return properties
