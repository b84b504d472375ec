"""A consumer for tests: its effect is a row an event, with nothing that would hide a second one.

Run as a program, with a DSN and a back end's address, it consumes the stream there until it is
killed.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
import trio

from chassis.settings.tree import Ledger
from ledger.connection import Connection, Step
from ledger.pgtypes import int8_, int8_array, uuid_array
from ledger.pool import Pool
from ledger.queries import Query
from ledger.stream.backend import Reader
from ledger.stream.consumer import ConsumerRunner, Delivery, EventRefusedError
from tests.support.stream import SMALL, SegmentsBackend

GROUP = "effects"
TABLE = "CREATE TABLE effects (event_id uuid, n bigint)"
GRANT = "GRANT ALL ON effects, stream_cursors, stream_parked TO PUBLIC"
LIMITS = msgspec.structs.replace(
    SMALL,
    read_wait_s=0.02,
    consumer_records_max=16,
    consumer_retry_min_s=0.005,
    consumer_retry_max_s=0.02,
    parked_check_s=0.0,
    parked_max=3,
)
_INSERT = Query("effect", "INSERT INTO effects SELECT * FROM unnest($1::uuid[], $2::bigint[])")
_KNOWN = Query("known", "SELECT event_id FROM effects WHERE event_id = ANY ($1::uuid[])")
_DIVIDE = Query("divide", "SELECT 1 / $1::bigint")


class EffectsConsumer:
    """Inserts each event's number; refuses, or breaks on, those it is told to.

    Args:
        database: to ask which events are known.
        refused: numbers that it will not take in.
        broken: numbers whose statement fails in Postgres.
    """

    group = GROUP

    def __init__(
        self,
        database: Connection | Pool,
        *,
        refused: Collection[int] = (),
        broken: Collection[int] = (),
    ) -> None:
        self._database = database
        self.refused = set(refused)
        self.broken = set(broken)

    async def plan(self, deliveries: Sequence[Delivery]) -> Sequence[Step]:
        """One statement for all, after one that fails for each broken number."""
        await trio.lowlevel.checkpoint()
        events = [delivery.event() for delivery in deliveries]
        numbers = [event.after.get("n") for event in events if event.after]
        if bad := self.refused & set(numbers):
            raise EventRefusedError(f"number {min(bad)} is refused")
        ids = [event.id for event in events]
        steps: list[Step] = [(_DIVIDE, [int8_(0)]) for _ in self.broken & set(numbers)]
        return [*steps, (_INSERT, [uuid_array(ids), int8_array(numbers)])]

    async def known(self, event_ids: Collection[bytes]) -> Collection[bytes]:
        """Those that have a row."""
        result = await self._database.run(_KNOWN, [uuid_array(list(event_ids))])
        return result.column(0)


def open_reader(kind: str, *place: str) -> Reader:
    """A reader of the stream at a back end's address."""
    if kind == "segments":
        return SegmentsBackend(Path(*place), LIMITS).reader()
    from tests.support.kafka_backend import KafkaBackend  # noqa: PLC0415  librdkafka takes a while

    return KafkaBackend(*place).reader(read_wait_s=LIMITS.read_wait_s)


async def consume(dsn: str, *address: str) -> None:
    """Run the group until killed."""
    pool = Pool(dsn, 1, settings=Ledger())
    async with trio.open_nursery() as nursery, open_reader(*address) as reader:
        await nursery.start(pool.serve)
        await ConsumerRunner(EffectsConsumer(pool), reader, pool, limits=LIMITS).run()


if __name__ == "__main__":
    trio.run(consume, *sys.argv[1:])
