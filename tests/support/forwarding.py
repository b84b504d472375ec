"""A forwarder for tests: run as a program it forwards until it is killed, and prints how far it is.

Arguments: folder of the segments, brokers, prefix of the topics, partitions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import trio

from ledger.stream.kafka.forwarder import Forwarder
from tests.support.kafka_backend import KafkaBackend
from tests.support.stream import SegmentsBackend


async def forward(folder: str, bootstrap: str, prefix: str, partitions: str) -> None:
    """Forward small batches without a pause."""
    target = KafkaBackend(bootstrap, prefix, partitions=int(partitions))
    settings = msgspec.structs.replace(
        target.kafka, batch_records_max=60, batch_interval_ms=0.0, reconnect_min_s=0.05
    )
    async with SegmentsBackend(Path(folder)).reader() as reader, trio.open_nursery() as nursery:
        forwarder = Forwarder(reader, target.writer, settings)
        nursery.start_soon(forwarder.run)
        shown = -1
        while True:
            if forwarder.health.next_offset != shown:
                shown = forwarder.health.next_offset
                print(shown, flush=True)  # noqa: T201
            await trio.sleep(0.01)


if __name__ == "__main__":
    trio.run(forward, *sys.argv[1:])
