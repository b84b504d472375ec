"""From the shard's log in segments into Kafka: each record once, in the order of commits.

Theory of operation
-------------------
The relay writes segments and knows of no Kafka: its brokers may be away for days, and neither a
payment nor Postgres' WAL waits for them. This process reads the segments as any consumer and
appends to Kafka what is not there yet. It keeps no cursor: how far Kafka is stands in Kafka,
written in the transaction that brought the events, so the two cannot disagree. Whatever goes
wrong, a new writer is opened, and it tells where to go on.

Before anything is appended, the last record in Kafka is held to the one at the same offset of the
log. If it is another one, or the log is shorter, then this is not the log that was forwarded before
(another data directory, an old backup): to go on would mix two histories, so the process ends and
says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Never

import attrs
import trio

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.settings.kafka import Kafka
from ledger.stream.backend import Batch, Page, Reader
from ledger.stream.errors import (
    StreamAbortedError,
    StreamAwayError,
    StreamFatalError,
    StreamMissingError,
)
from ledger.stream.kafka.messages import leaf_of
from ledger.stream.kafka.writer import KafkaWriter
from ledger.stream.record import DESCRIPTOR_ID, Mark

NOTHING_WHOLE: Final = Mark(0, 0, 0)  # a mark before the end of the first batch

_log = get_logger(__name__)


class OtherLogError(StreamFatalError):
    """What is in Kafka was forwarded from another log than the one that is here."""


@attrs.define
class Health:
    """How it stands, for metrics and `/readyz`.

    Attributes:
        connected: whether the last thing asked of Kafka was done.
        next_offset: of the shard's log, as far as Kafka has it.
        behind: records that Kafka has not.
        records, transactions, aborted, sessions: counted since the start.
    """

    connected: bool = False
    next_offset: int = 0
    behind: int = 0
    records: int = 0
    transactions: int = 0
    aborted: int = 0
    sessions: int = 0


class Forwarder:
    """Forwards one shard's log.

    Args:
        reader: of the log; entered.
        open_writer: makes a writer into Kafka, not yet open.
        settings: sizes and waits.

    Attributes:
        health: kept true.
    """

    def __init__(
        self, reader: Reader, open_writer: Callable[[], KafkaWriter], settings: Kafka
    ) -> None:
        self._reader = reader
        self._open_writer = open_writer
        self._settings = settings
        self.health = Health()

    async def run(self) -> Never:
        """Forward until canceled, for as long as it takes the brokers to come back.

        Raises:
            OtherLogError: Kafka holds another log's events.
            StreamFencedError: another forwarder has taken over.
            StreamMissingError, StreamCorruptError: the log cannot be read.
            BatchError: a record is larger than the brokers take.
        """
        settings = self._settings
        backoff = Backoff(min_s=settings.reconnect_min_s, max_s=settings.reconnect_max_s)
        while True:
            writer = self._open_writer()
            try:
                await self._session(writer, backoff)
            except StreamAwayError as error:
                self.health.connected = False
                _log.warning("kafka_away", why=str(error))
            finally:
                with trio.CancelScope(shield=True):
                    await writer.aclose()
            await trio.sleep(backoff.next_delay_s())

    async def _session(self, writer: KafkaWriter, backoff: Backoff) -> Never:
        """Forward by one writer until it is done with."""
        health, settings = self.health, self._settings
        try:
            await writer.open()
        except StreamMissingError as error:  # an operator makes the topics
            raise StreamAwayError(str(error)) from None
        await self._compare(writer)
        health.sessions += 1
        health.next_offset = writer.next_offset
        _log.info("forwarding", next_offset=writer.next_offset)
        while True:
            page = await self._reader.read(
                {0: writer.next_offset}, settings.batch_records_max, settings.batch_bytes_max
            )
            if page.records:
                await self._append(writer, _batch(page, writer.mark), backoff)
                health.records += len(page.records)
            health.connected = True
            health.next_offset = writer.next_offset
            high = (await self._reader.high_water()).get(0, 0)
            health.behind = high - writer.next_offset
            backoff.reset()
            if page.records and health.behind < settings.batch_records_max:
                await trio.sleep(settings.batch_interval_ms / 1_000)

    async def _append(self, writer: KafkaWriter, batch: Batch, backoff: Backoff) -> None:
        while True:
            try:
                await writer.append(batch)
            except StreamAbortedError as error:
                self.health.aborted += 1
                _log.warning("kafka_transaction_aborted", why=str(error))
                await trio.sleep(backoff.next_delay_s())
            else:
                self.health.transactions += 1
                return

    async def _compare(self, writer: KafkaWriter) -> None:
        """See that what Kafka has was forwarded from this log."""
        at = writer.next_offset
        high = (await self._reader.high_water()).get(0, 0)
        if at > high:
            raise OtherLogError(
                f"Kafka has {at} events and the log here {high}: it is another log, or an old one; "
                "another kafka.topic_prefix begins anew"
            )
        if at:
            page = await self._reader.read({0: at - 1}, 1, 1)
            if leaf_of(page.records[0][2]) != writer.leaf:
                raise OtherLogError(
                    f"event {at - 1} in Kafka is not record {at - 1} of the log here; another "
                    "kafka.topic_prefix begins anew"
                )


def _batch(page: Page, before: Mark | None) -> Batch:
    """What a page of the log is as a batch for Kafka."""
    records = [record for _, _, record in page.records]
    needed = {record[DESCRIPTOR_ID] for record in records}
    descriptors = [page.descriptors[one] for one in sorted(needed)]
    return Batch(records, descriptors, page.mark or before or NOTHING_WHOLE)
