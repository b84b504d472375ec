"""A real Apache Kafka of three brokers on this machine, in a folder of its own.

KRaft: each broker is a controller, too. The jars come through Maven (`make test-kafka` does it);
where they, or Java, are missing, a test that wants them fails and says so.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ledger.stream.kafka.clients import ClientLog

JARS = Path(__file__).parents[2] / ".venv" / "kafka-jars"
BROKERS = 3
CLUSTER_ID = "dHVybm91dC1rYWZrYS10ZQ"
READY_S = 120.0
STOP_S = 20.0
JVM = ["java", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

PROPERTIES = """\
process.roles=broker,controller
node.id={node}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
controller.quorum.voters={voters}
log.dirs={folder}/data
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
auto.create.topics.enable=false
offsets.topic.replication.factor=3
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.num.partitions=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
"""


@attrs.define
class Broker:
    """One of them.

    Attributes:
        node: its number in the cluster, from 1.
        port: where clients reach it.
        folder: its own.
        process: the JVM.
    """

    node: int
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """As kill -9 does."""
        self.process.kill()
        self.process.wait()


@attrs.define
class Cluster:
    """All of them; their version is that of the jars."""

    brokers: list[Broker]
    version: str

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers."""
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    def leader(self, topic: str, partition: int = 0) -> Broker:
        """The broker that leads a partition now."""
        found = self._admin().list_topics(topic, timeout=20).topics[topic]
        return self.brokers[found.partitions[partition].leader - 1]

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "logger": ClientLog()})

    def wait_until_ready(self) -> None:
        """Return when every broker is a member, or fail with what they logged."""
        admin = self._admin()
        ends_at = time.monotonic() + READY_S
        while time.monotonic() < ends_at:
            for broker in self.brokers:
                if broker.process.poll() is not None:
                    raise AssertionError(f"broker {broker.node} ended:\n{_log_end(broker)}")
            with contextlib.suppress(KafkaException):
                if len(admin.list_topics(timeout=1).brokers) == BROKERS:
                    return
            time.sleep(0.2)
        raise AssertionError(f"no cluster after {READY_S} s:\n{_log_end(self.brokers[0])}")

    def stop(self) -> None:
        """End those that still run: they are asked, and then killed."""
        for broker in self.brokers:
            broker.process.kill()  # nothing in them is worth a slow farewell
        for broker in self.brokers:
            broker.process.wait(STOP_S)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Three brokers, ready, until the block ends."""
    version = _version()
    ports = [(_free_port(), _free_port()) for _ in range(BROKERS)]
    voters = ",".join(f"{node}@127.0.0.1:{ports[node - 1][1]}" for node in range(1, BROKERS + 1))
    folders = [folder / f"broker-{node}" for node in range(1, BROKERS + 1)]
    for node, own in enumerate(folders, 1):
        own.mkdir()
        port, controller = ports[node - 1]
        properties = PROPERTIES.format(
            node=node, port=port, controller=controller, voters=voters, folder=own
        )
        (own / "server.properties").write_text(properties)
    _format(folders)
    brokers = [
        Broker(node, ports[node - 1][0], own, _start(own)) for node, own in enumerate(folders, 1)
    ]
    cluster = Cluster(brokers, version)
    try:
        cluster.wait_until_ready()
        yield cluster
    finally:
        cluster.stop()


def _version() -> str:
    """The version of Kafka that the jars are of; fails where a part is missing."""
    if shutil.which("java") is None:
        raise AssertionError("there is no Java: make test-kafka installs it")
    found = list(JARS.glob("kafka_2.13-*.jar"))
    if not found:
        raise AssertionError(f"{JARS} holds no Kafka: make test-kafka puts it there")
    [version] = re.findall(r"kafka_2\.13-(.+)\.jar", found[0].name)
    return version


def _format(folders: list[Path]) -> None:
    """Give each broker its empty store."""
    tool = [*JVM, QUIET, "-cp", f"{JARS}/*", "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]
    started = []
    for folder in folders:
        with (folder / "log").open("wb") as log:
            command = [*tool, "-c", str(folder / "server.properties")]
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
    for folder, process in zip(folders, started, strict=True):
        assert process.wait(60) == 0, (folder / "log").read_text()[-2_000:]


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command = [*JVM, QUIET, "-cp", f"{JARS}/*", "kafka.Kafka", str(folder / "server.properties")]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={"PATH": os.environ["PATH"]}
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _log_end(broker: Broker) -> str:
    return (broker.folder / "log").read_text(errors="replace")[-2_000:]
