"""What Kafka promises besides: to strangers, after deaths, and when it is not as it should be."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import trio
from click.testing import CliRunner
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from ledger.connection import Connection
from ledger.ids import public_id
from ledger.queries import Query
from ledger.stream.backend import START, Batch, Cursor
from ledger.stream.consumer import ConsumerRunner
from ledger.stream.errors import (
    BatchError,
    StreamAwayError,
    StreamFatalError,
    StreamMissingError,
)
from ledger.stream.kafka.clients import (
    client_properties,
    consumer_properties,
    events_topic,
    positions_topic,
    producer_properties,
)
from ledger.stream.kafka.forwarder import Forwarder, OtherLogError
from ledger.stream.kafka.topics import create_topics
from ledger.stream.parking import ask_for_retry, list_parked
from ledger.stream.record import Mark
from stack.commands.kafka import kafka
from tests.support.consuming import GRANT, LIMITS, TABLE, EffectsConsumer
from tests.support.kafka_backend import KafkaBackend
from tests.support.kafka_cluster import Cluster
from tests.support.murmur2 import partition_of
from tests.support.postgres import LedgerDSN
from tests.support.stream import DESCRIPTOR, SYSTEM, SegmentsBackend, batch, record

pytestmark = pytest.mark.kafka
PARTITIONS = 6


@pytest.fixture
def wide(kafka_cluster: Cluster) -> KafkaBackend:
    """An empty stream of several partitions."""
    return KafkaBackend.create(kafka_cluster.bootstrap, partitions=PARTITIONS)


async def _fill(backend: KafkaBackend | SegmentsBackend, batches: int, size: int = 20) -> None:
    writer = backend.writer()
    await writer.open()
    for number in range(batches):
        await writer.append(batch(number * size, size, known=number > 0))
    await writer.aclose()


async def _read(
    backend: KafkaBackend, count: int, cursor: Cursor = START
) -> tuple[dict[int, list[int]], Cursor]:
    """(offsets by partition, cursor after) of so many records."""
    found: dict[int, list[int]] = defaultdict(list)
    with trio.fail_after(30):
        async with backend.reader(read_wait_s=0.1) as reader:
            while sum(map(len, found.values())) < count:
                page = await reader.read(cursor, 7, 10**6)
                for partition, offset, data in page.records:
                    assert data == record(offset)
                    found[partition].append(offset)
                cursor = page.cursor
    return found, cursor


async def test_the_high_water_is_not_before_what_was_read(wide: KafkaBackend) -> None:
    """It is asked for now and then; a cursor beyond it would look like another stream's."""
    await _fill(wide, 1)
    async with wide.reader(read_wait_s=0.1) as reader:
        assert max((await reader.high_water()).values()) <= 20
        writer = wide.writer()
        await writer.open()
        await writer.append(batch(20, 20))
        await writer.aclose()
        cursor: Cursor = START
        with trio.fail_after(30):
            while sum(cursor.values()) == 0 or max(cursor.values()) < 40:
                cursor = (await reader.read(cursor, 100, 10**6)).cursor
        ends = await reader.high_water()
    assert set(ends) == set(range(PARTITIONS))
    assert all(offset <= ends[partition] for partition, offset in cursor.items())


def _begin_positions_anew(backend: KafkaBackend) -> None:
    """Have the topic of positions be there and empty, as after somebody's hand."""
    admin = AdminClient(client_properties(backend.kafka))
    name = positions_topic(backend.kafka, 0)
    for done in admin.delete_topics([name]).values():
        done.result(30)
    ends_at = time.monotonic() + 30
    while not any(topic.name == name for topic in create_topics(backend.kafka, 0)):
        assert time.monotonic() < ends_at
        time.sleep(0.1)


async def test_the_high_water_without_a_position_is_what_was_read(wide: KafkaBackend) -> None:
    """No position is visible: still nobody takes the stream for one that ends before them."""
    await _fill(wide, 1)
    async with wide.reader(read_wait_s=0.1) as reader:
        cursor: Cursor = START
        with trio.fail_after(30):
            while sum(cursor.values()) == 0 or max(cursor.values()) < 20:
                cursor = (await reader.read(cursor, 100, 10**6)).cursor
        await trio.to_thread.run_sync(_begin_positions_anew, wide)
        ends = await reader.high_water()
    assert all(offset <= ends[partition] for partition, offset in cursor.items())


def _messages(backend: KafkaBackend, count: int) -> list[Message]:
    """What a stranger reads: committed messages, with a client of its own."""
    found: list[Message] = []
    topic = events_topic(backend.kafka, 0)
    with closing(Consumer(consumer_properties(backend.kafka))) as consumer:
        partitions = range(backend.kafka.partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        while len(found) < count:
            received = consumer.consume(100, 5)
            assert received, f"{len(found)} of {count}"
            found += [message for message in received if message.error() is None]
    return found


async def test_strangers_find_documented_json_and_the_record(wide: KafkaBackend) -> None:
    """Key, value and headers are as docs/stream.md says, the partition is Java's choice."""
    await _fill(wide, 2)
    messages = await trio.to_thread.run_sync(_messages, wide, 40)
    assert len({message.partition() for message in messages}) > 1
    for message in messages:
        event = json.loads(message.value() or b"")
        headers = dict(message.headers() or ())
        offset = int(headers["offset"])
        assert event["position"]["offset"] == offset
        assert event["after"]["n"] == offset
        assert headers["record"] == record(offset)
        assert headers["descriptor"] == DESCRIPTOR
        key = public_id("pi", offset.to_bytes(16)).encode() if offset else b"outcomes"
        assert message.key() == key
        assert event["payment_intent"] == (key.decode() if offset else None)
        assert message.partition() == partition_of(key, PARTITIONS)


async def test_partitions_keep_order_and_readers_go_on_anywhere(wide: KafkaBackend) -> None:
    """Over several partitions nothing is lost or doubled, wherever a reader was stopped."""
    await _fill(wide, 10)
    whole, end = await _read(wide, 200)
    assert sorted(offset for offsets in whole.values() for offset in offsets) == list(range(200))
    assert all(offsets == sorted(offsets) for offsets in whole.values())
    for taken in (1, 90, 199):
        first, cursor = await _read(wide, taken)
        rest, after = await _read(wide, 200 - sum(map(len, first.values())), cursor)
        assert {p: first[p] + rest[p] for p in whole} == whole
        assert after == end


async def test_what_a_dead_writer_left_open_is_never_read(wide: KafkaBackend) -> None:
    """Messages of a transaction that nobody committed are taken back by the next writer."""
    await _fill(wide, 1)

    def die_half_way() -> None:
        producer = Producer(producer_properties(wide.kafka, 0))
        producer.init_transactions(20)
        producer.begin_transaction()
        for number in range(50):
            producer.produce(events_topic(wide.kafka, 0), key=b"%d" % number, value=b"{}")
        assert producer.flush(20) == 0

    await trio.to_thread.run_sync(die_half_way)
    writer = wide.writer()
    await writer.open()
    assert await writer.append(batch(20, 5)) == 25
    await writer.aclose()
    found, _ = await _read(wide, 25)
    assert sorted(offset for offsets in found.values() for offset in offsets) == list(range(25))


async def test_an_event_nobody_can_read_is_passed_on_with_its_error(wide: KafkaBackend) -> None:
    """A record that does not fit its descriptor is in its payment's partition all the same."""
    writer = wide.writer()
    await writer.open()
    odd = record(3, row=(bytes(16),))
    await writer.append(Batch([odd], [DESCRIPTOR], Mark(SYSTEM, 1, 1_000)))
    await writer.aclose()
    [message] = await trio.to_thread.run_sync(_messages, wide, 1)
    document = json.loads(message.value() or b"")
    assert document["error"] == "outcomes: 1 columns; its descriptor has 2"
    assert message.key() == public_id("pi", (3).to_bytes(16)).encode()


async def test_without_brokers_a_writer_and_a_reader_say_so() -> None:
    """Nobody waits for ever for a cluster that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    backend = KafkaBackend(f"127.0.0.1:{port}", "nowhere")
    backend.kafka = msgspec.structs.replace(backend.kafka, answer_timeout_s=0.5)
    with pytest.raises(StreamAwayError):
        await backend.writer().open()
    async with backend.reader() as reader:
        with pytest.raises(StreamAwayError):
            await reader.read(START, 1, 1)


async def test_topics_that_are_missing_are_named(kafka_cluster: Cluster) -> None:
    """With the command that makes them."""
    with pytest.raises(StreamMissingError, match="turnout kafka create-topics"):
        await KafkaBackend(kafka_cluster.bootstrap, "never-made").writer().open()


async def test_topics_are_made_once_and_checked(wide: KafkaBackend) -> None:
    """Making them again is harmless; one that is not as it should be is refused."""
    again = await trio.to_thread.run_sync(create_topics, wide.kafka, 0)
    assert [topic.made for topic in again] == [False, False]
    other = msgspec.structs.replace(wide.kafka, partitions=PARTITIONS + 1, min_insync_replicas=1)
    with pytest.raises(
        StreamFatalError, match=r"6 partitions, not 7; min\.insync\.replicas 2, not 1"
    ):
        await trio.to_thread.run_sync(create_topics, other, 0)


async def test_partitions_added_later_are_refused(wide: KafkaBackend) -> None:
    """Or events of one payment would stand in two partitions."""
    await _fill(wide, 1)
    admin = AdminClient(client_properties(wide.kafka))
    [made] = admin.create_partitions(
        [NewPartitions(events_topic(wide.kafka, 0), PARTITIONS + 1)]
    ).values()
    await trio.to_thread.run_sync(made.result, 20)

    async def open_until_every_broker_knows() -> None:
        with trio.fail_after(20):
            while True:
                await wide.writer().open()
                await trio.sleep(0.1)

    with pytest.raises(StreamFatalError, match="would lose their order"):
        await open_until_every_broker_knows()


async def test_what_retention_removed_is_a_gap_and_not_passed_over(
    kafka_cluster: Cluster,
) -> None:
    """A cursor before what is left is refused; one within it is served."""
    backend = KafkaBackend.create(kafka_cluster.bootstrap)
    await _fill(backend, 3)
    place = TopicPartition(events_topic(backend.kafka, 0), 0, 25)
    admin = AdminClient(client_properties(backend.kafka))
    [removed] = admin.delete_records([place]).values()
    await trio.to_thread.run_sync(removed.result, 20)
    async with backend.reader() as reader:
        with pytest.raises(StreamMissingError, match="what is left begins at"):
            await reader.read({0: 10}, 1, 1)
    found, _ = await _read(backend, 10, {0: 50})
    assert found[0] == list(range(50, 60))


async def test_a_record_larger_than_brokers_take_is_refused(wide: KafkaBackend) -> None:
    """Before anything of its batch is sent; the writer can go on."""
    wide.kafka = msgspec.structs.replace(wide.kafka, message_bytes_max=8_000)
    writer = wide.writer()
    await writer.open()
    large = record(0, row=(bytes(16), bytes(9_000)))
    with pytest.raises(BatchError, match="in one message; at most"):
        await writer.append(Batch([large], [DESCRIPTOR], Mark(SYSTEM, 1, 64)))
    assert await writer.append(batch(0, 1, known=False)) == 1
    await writer.aclose()


@pytest.mark.slow
async def test_a_forwarder_killed_again_and_again_forwards_each_record_once(
    wide: KafkaBackend, tmp_path: Path
) -> None:
    """From segments, in the middle of its transactions, by kill -9 for real."""
    await _fill(SegmentsBackend(tmp_path), 50, 40)
    command = [sys.executable, "-m", "tests.support.forwarding", str(tmp_path)]
    command += [*wide.address[1:], str(PARTITIONS)]
    offset = kills = 0
    with trio.fail_after(60):
        while offset < 2_000:
            process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220
            assert process.stdout is not None
            try:
                target = min(offset + 700, 2_000)
                while offset < target:
                    line = await trio.to_thread.run_sync(process.stdout.readline)
                    assert line, "the forwarder ended"
                    offset = int(line)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
                process.stdout.close()
            kills += 1
    assert kills >= 3
    found, _ = await _read(wide, 2_000)
    assert sorted(o for offsets in found.values() for o in offsets) == list(range(2_000))
    assert all(offsets == sorted(offsets) for offsets in found.values())


async def test_another_log_is_not_forwarded_into_the_same_topics(
    wide: KafkaBackend, tmp_path: Path
) -> None:
    """Neither a shorter one nor one with another record at the same offset."""
    await _fill(wide, 1)
    for name, records in (("short", 10), ("other", 20)):
        folder = tmp_path / name
        folder.mkdir()
        backend = SegmentsBackend(folder)
        writer = backend.writer()
        await writer.open()
        known = [record(7) for _ in range(records)]
        await writer.append(Batch(known, [DESCRIPTOR], Mark(SYSTEM, 1, 10**6)))
        await writer.aclose()
        async with backend.reader() as reader:
            with pytest.raises(OtherLogError, match="topic_prefix begins anew"):
                await Forwarder(reader, wide.writer, wide.kafka).run()


async def test_a_parked_event_is_retried_alone_where_there_are_several_partitions(
    wide: KafkaBackend, fresh_ledger_dsn: LedgerDSN
) -> None:
    """Its place names a partition, and nothing of another one has its effect again."""
    await _fill(wide, 1)
    database = await Connection.open(fresh_ledger_dsn.superuser, connect_timeout_s=10)
    await database.script(f"{TABLE}; {GRANT}")
    consumer = EffectsConsumer(database, refused={3})
    async with wide.reader(read_wait_s=0.02) as reader:
        runner = ConsumerRunner(consumer, reader, database, limits=LIMITS)
        with trio.fail_after(20):
            while runner.figures.events < 19:
                await runner.step()
            [parked] = await list_parked(database)
            consumer.refused.clear()
            place = (parked.group, parked.shard, parked.partition, parked.offset)
            names = ("group", "shard", "partition", "offset")
            await ask_for_retry(database, **dict(zip(names, place, strict=True)), operator="anna")
            while await list_parked(database):
                await runner.step()
            assert await runner.step() == 0
    numbers = (await database.run(Query("numbers", "SELECT n FROM effects"))).column(0)
    assert sorted(numbers) == list(range(20))
    await database.aclose()


def test_the_command_makes_the_topics_and_tells_how_far_they_are(
    kafka_cluster: Cluster, tmp_path: Path
) -> None:
    """From settings to topics, as an operator does it; a topic that differs ends with status 1."""
    prefix = f"test-{os.urandom(6).hex()}"
    place = ["--data-dir", str(tmp_path), "--set", f"kafka.topic_prefix={prefix}"]
    place += ["--set", f"kafka.bootstrap_servers={kafka_cluster.bootstrap}"]
    place += ["--set", "kafka.partitions=2"]
    run = CliRunner().invoke
    missing = run(kafka, ["status", *place])
    assert (missing.exit_code, "create-topics" in missing.stderr) == (3, True)
    made = run(kafka, ["create-topics", "--json", *place])
    assert [(one["topic"], one["made"]) for one in json.loads(made.stdout)] == [
        (f"{prefix}.events.0", True),
        (f"{prefix}.positions.0", True),
    ]
    again = run(kafka, ["create-topics", *place])
    assert again.stdout.count("was there, as it should be") == 2
    status = json.loads(run(kafka, ["status", "--json", *place]).stdout)
    assert (status["partitions"], status["forwarded"], status["behind"]) == (2, 0, 0)
    other = run(kafka, ["create-topics", *place, "--set", "kafka.partitions=3"])
    assert (other.exit_code, "2 partitions, not 3" in other.stderr) == (1, True)
