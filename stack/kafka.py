"""What `turnout kafka` does: makes the topics, and tells how far the stream is in them.

Needs no running stack: brokers by `kafka.bootstrap_servers`, and for what is still to be forwarded
the right to read the stream's files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import trio

from chassis.settings.kafka import Kafka
from ledger.errors import LedgerError
from ledger.stream.errors import StreamAwayError, StreamMissingError
from ledger.stream.kafka.clients import events_topic
from ledger.stream.kafka.positions import events_partitions, read_positions
from ledger.stream.kafka.topics import create_topics
from ledger.stream.open import stream_reader
from stack.endings import EXIT_FAULT
from stack.options import EXIT_CANNOT_START, Place

Document = dict[str, Any]
T = TypeVar("T")


class NotConfiguredError(Exception):
    """The settings name no brokers."""


EXITS: Final[dict[type[Exception], int]] = {
    NotConfiguredError: EXIT_CANNOT_START,
    StreamAwayError: EXIT_CANNOT_START,
    StreamMissingError: EXIT_CANNOT_START,
    OSError: EXIT_CANNOT_START,
    LedgerError: EXIT_FAULT,
}


async def create(place: Place) -> list[Document]:
    """Make the topics that are missing, check those that are there.

    Raises:
        NotConfiguredError: the settings name no brokers.
        StreamAwayError: no broker answers in time.
        StreamFatalError: a topic is not as it should be, or may not be made.
    """
    made = await _asked(partial(create_topics, _configured(place), place.shard))
    return [
        {
            "topic": topic.name,
            "partitions": topic.partitions,
            "replication_factor": topic.replication_factor,
            "made": topic.made,
            "config": topic.config,
        }
        for topic in made
    ]


async def status(place: Place) -> Document:
    """How far the stream is in Kafka, beside how far it is here.

    Raises:
        NotConfiguredError: the settings name no brokers.
        StreamAwayError: no broker answers in time.
        StreamMissingError: there are no topics.
    """
    settings = _configured(place)
    partitions = await _asked(partial(events_partitions, settings, place.shard))
    found = await _asked(partial(read_positions, settings, place.shard))
    async with stream_reader(place.settings, place.data_dir) as reader:
        records = (await reader.high_water()).get(0, 0)
    forwarded = found.state.next_offset if found.state else 0
    return {
        "topic": events_topic(settings, place.shard),
        "partitions": partitions,
        "forwarded": forwarded,
        "records": records,
        "behind": records - forwarded,
        "last_leaf": found.state.leaf if found.state else None,
    }


def _configured(place: Place) -> Kafka:
    if not place.settings.kafka.bootstrap_servers:
        raise NotConfiguredError("kafka.bootstrap_servers is not set")
    return place.settings.kafka


async def _asked(question: Callable[[], T]) -> T:
    """Ask brokers in a thread; Ctrl-C leaves it behind: every question is harmless and bounded."""
    return await trio.to_thread.run_sync(question, abandon_on_cancel=True)
