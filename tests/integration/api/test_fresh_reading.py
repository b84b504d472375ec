"""What the api reads on a replica: intents, lists and timelines, as they stand when it is asked.

The switch settles a payment; the api is asked right after the merchant could have heard of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from attrs import define

from api.coalescing import Coalescer
from api.intent_list import ListQuery
from api.reading import open_reader, register_reader
from api.shard import Shard, ShardPeers, make_shard
from chassis.metrics import Metrics
from chassis.settings import Settings
from chassis.settings.replica import Replica
from ledger.pool import Pool
from ledger.replica import FreshReader
from ledger.roles import API
from tests.support.ledger import LedgerHarness, charge, open_ledger, outcome
from tests.support.postgres import LedgerDSN, open_folder
from tests.support.replica import Replicated, migrate_primary, replicated

PATIENT = Replica(wait_ms=10_000.0, answer_timeout_s=10.0)
# Behind once, and not asked again during a test.
IMPATIENT = Replica(wait_ms=100.0, answer_timeout_s=10.0, rest_s=600.0)
PAUSE, RESUME = "SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A folder with a migrated ledger and its replica, both stopped."""
    with open_folder() as folder:
        trio.run(make_cluster, folder)
        yield folder


async def make_cluster(folder: Path) -> None:
    """Migrate, and copy."""
    async with replicated(folder) as pair:
        await migrate_primary(pair)
        await pair.bring_up()


@define
class Reading:
    """A shard of the api over a ledger and its replica."""

    pair: Replicated
    ledger: LedgerHarness
    shard: Shard
    reader: FreshReader

    async def ask(self, of: Callable[[Shard], Coalescer[Any, Any]], question: object) -> Any:
        """What the api would answer."""
        answers: list[Any] = []
        of(self.shard).submit(question, answers.append)
        with trio.fail_after(20):
            while not answers:
                await trio.sleep(0.001)
        return answers[0]


@asynccontextmanager
async def reading(cluster: Path, limits: Replica = PATIENT) -> AsyncIterator[Reading]:
    """Everything at work, the replica's sessions open."""
    settings = msgspec.structs.replace(Settings(), replica=limits)
    async with replicated(cluster) as pair:
        await pair.bring_up()
        async with (
            open_ledger(LedgerDSN(pair.primary, "turnout")) as ledger,
            trio.open_nursery() as nursery,
        ):
            pool = Pool(pair(API), 4, settings=settings.ledger)
            await nursery.start(pool.serve)
            reader = open_reader(nursery, pair.reads(), pool, settings)
            shard = make_shard(0, settings, ShardPeers(runner=pool, switches=[], reader=reader))
            shard.start(nursery)
            with trio.fail_after(20):
                while reader.sessions.open_count < settings.replica.sessions:
                    await trio.sleep(0.005)
            yield Reading(pair, ledger, shard, reader)
            nursery.cancel_scope.cancel()


@pytest.fixture
async def api(cluster: Path) -> AsyncIterator[Reading]:
    """As `reading`."""
    async with reading(cluster) as api:
        yield api


async def read_everything(api: Reading) -> None:
    """Settle a payment; the intent, its page and its timeline tell of it at once."""
    [of] = await api.ledger.created()
    row = charge(of)
    await api.ledger.charges.record([row], lane="fast")
    await api.ledger.outcomes.settle([outcome(row)])
    intent = await api.ask(lambda shard: shard.intents, (of.merchant_id, of.intent_id))
    page = await api.ask(lambda shard: shard.lists, (of.merchant_id, False, ListQuery()))
    story = await api.ask(lambda shard: shard.timelines, (of.merchant_id, of.intent_id, False))
    assert intent.status == "succeeded"
    assert [known.status for known in page.intents] == ["succeeded"]
    assert [event.type for event in story][-1] == "payment_intent.succeeded"


async def test_what_was_settled_is_what_the_replica_says(api: Reading) -> None:
    """Of one intent, a page of them, and what happened to one."""
    await read_everything(api)
    assert api.reader.counts.reads_total == 3


async def test_what_a_replica_does_not_know_yet_the_primary_says(cluster: Path) -> None:
    """The first read waits for a replica that is held up, and the others do not ask it."""
    async with reading(cluster, IMPATIENT) as api:
        await api.pair.do(PAUSE, on_replica=True)
        await read_everything(api)
        counts = api.reader.counts
        assert (counts.reads_total, counts.behind_total, counts.away_total) == (0, 1, 2)
        await api.pair.do(RESUME, on_replica=True)


async def test_balances_are_read_on_the_primary(api: Reading) -> None:
    """Postings are committed without waiting for the disk, so a replica's word would not do."""
    assert await api.ask(lambda shard: shard.balances, (api.ledger.merchant_id, False)) == {}
    assert api.reader.counts.reads_total == 0


async def test_where_reads_were_answered_is_shown(api: Reading) -> None:
    """By shard, among the api's metrics."""
    metrics = Metrics("api")
    register_reader(metrics, api.reader, "3")
    [of] = await api.ledger.created()
    await api.ask(lambda shard: shard.intents, (of.merchant_id, of.intent_id))
    shown = {
        sample.name: sample.value
        for family in metrics.collect()
        for sample in family.samples
        if sample.labels == {"shard": "3"}
    }
    assert shown["turnout_api_replica_reads_total"] == 1
    assert shown["turnout_api_replica_sessions_total"] == api.reader.sessions.open_count
    assert shown["turnout_api_replica_away_total"] == 0
