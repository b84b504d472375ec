"""A broker dies by kill -9 while the stream is written to and read: nothing lost, nothing doubled.

It is the last file of this folder: the cluster has two brokers afterwards.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
import trio

from ledger.stream.backend import START, Cursor
from ledger.stream.errors import StreamAbortedError, StreamAwayError
from ledger.stream.kafka.clients import events_topic
from ledger.stream.kafka.writer import KafkaWriter
from tests.support.kafka_backend import KafkaBackend
from tests.support.kafka_cluster import Cluster
from tests.support.stream import batch, record

pytestmark = pytest.mark.kafka
PARTITIONS = 6
BATCHES, SIZE = 160, 100
KILL_AT = 40


async def _append_all(backend: KafkaBackend, figures: dict[str, int]) -> None:
    """Append every batch as a forwarder does: again when taken back, anew when nobody knows."""
    writer: KafkaWriter | None = None
    while figures["stored"] < BATCHES * SIZE:
        try:
            if writer is None:
                writer = backend.writer()
                await writer.open()
                figures["writers"] += 1
            at = writer.next_offset
            figures["stored"] = at
            if at < BATCHES * SIZE:
                figures["stored"] = await writer.append(batch(at, SIZE, known=at > 0))
        except StreamAbortedError:
            figures["aborted"] += 1
            await trio.sleep(0.1)
        except StreamAwayError:
            figures["away"] += 1
            assert writer is not None
            await writer.aclose()
            writer = None
            await trio.sleep(0.1)
    if writer is not None:
        await writer.aclose()


@pytest.mark.slow
async def test_one_of_three_brokers_is_killed_under_load(
    kafka_cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Leader of a partition that is written to: the others take over, within the batch or after."""
    backend = KafkaBackend.create(kafka_cluster.bootstrap, partitions=PARTITIONS)
    figures = dict.fromkeys(("stored", "writers", "aborted", "away"), 0)
    seen: dict[int, list[int]] = defaultdict(list)
    longest_s = 0.0

    async def read_all() -> None:
        nonlocal longest_s
        cursor: Cursor = START
        count, heard_at = 0, trio.current_time()
        async with backend.reader() as reader:
            while count < BATCHES * SIZE:
                page = await reader.read(cursor, 500, 10**6)
                for partition, offset, data in page.records:
                    assert data == record(offset)
                    seen[partition].append(offset)
                cursor = page.cursor
                count += len(page.records)
                if page.records:
                    longest_s = max(longest_s, trio.current_time() - heard_at)
                    heard_at = trio.current_time()

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_append_all, backend, figures)
            nursery.start_soon(read_all)
            while figures["stored"] < KILL_AT * SIZE:
                await trio.sleep(0.01)
            leader = kafka_cluster.leader(events_topic(backend.kafka, 0))
            before = figures["stored"]
            await trio.to_thread.run_sync(leader.kill)
    assert before < BATCHES * SIZE
    everything = sorted(offset for offsets in seen.values() for offset in offsets)
    assert everything == list(range(BATCHES * SIZE))
    assert len(seen) == PARTITIONS
    assert all(offsets == sorted(offsets) for offsets in seen.values())
    with capsys.disabled():
        print(  # noqa: T201  the run's own words, for whoever reads CI's output
            f"\nApache Kafka {kafka_cluster.version}, 3 brokers: broker {leader.node} killed (-9) "
            f"after {before} of {BATCHES * SIZE} records; none lost, none doubled, each key in "
            f"order; longest pause of the reader {longest_s:.1f} s; transactions taken back "
            f"{figures['aborted']}, writers opened {figures['writers']}"
        )
