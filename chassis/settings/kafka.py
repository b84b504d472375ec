"""The settings of the event stream's copy in Kafka; a section of `chassis.settings.tree`."""

from __future__ import annotations

from chassis.settings.section import Section


class Kafka(Section, frozen=True):
    """The stream's copy in Kafka; nothing of it counts unless `stream.backend = "kafka"`."""

    bootstrap_servers: str = ""  # host:port, one or several with commas between
    properties_file: str = (
        ""  # `name = value` lines for librdkafka: TLS, SASL; the forwarder's alone
    )
    topic_prefix: str = "turnout"  # topics are <prefix>.events.<shard>, <prefix>.positions.<shard>
    partitions: int = 48  # of the events, for ever: one more would tear payments' order apart
    replication_factor: int = 3
    min_insync_replicas: int = 2  # brokers that have a record before it counts as stored
    retention_s: float = 1_209_600.0  # of the events; above how long a reader may be away
    batch_records_max: int = 4_096  # of one transaction
    batch_bytes_max: int = 8_388_608  # likewise, of the shard log; four times as much in Kafka
    batch_interval_ms: float = 100.0  # between transactions under load: each costs some 10 ms
    message_bytes_max: int = 1_000_000  # what brokers take by default
    answer_timeout_s: float = (
        30.0  # for a commit, or any other answer: a leader's failover and more
    )
    transaction_timeout_s: float = 60.0  # a dead forwarder holds up readers for no longer
    reconnect_min_s: float = 0.5
    reconnect_max_s: float = 30.0
