"""The replica killed and stopped under load: no GET is older than the charge's answer before it.

Each payment is read as soon as its charge has been answered, through the API and by a planted
reader, which asks the replica itself and nobody how far it is. The same checker looks at both: what
it does not find in the API's answers it finds in the planted reader's.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import psycopg
import pytest
import trio
from attrs import define, field

from ledger.embedded.identity import Identity
from ledger.embedded.orphans import server_processes
from ledger.ids import parse_id
from stack.temporary import TemporaryStack
from tests.support.whole_stack import QUIET, WholeStack, everyday_card, running_in_thread
from turnout_client import Transaction

pytestmark = pytest.mark.chaos
RATE_PER_S: Final = 60.0
BEFORE_S: Final = 1.0
FAULT_S: Final = 2.5
BACK_WITHIN_S: Final = 15.0
READ_WITHIN_S: Final = 3.0  # a replica that hangs costs a reader a second, once
STATUS_SQL: Final = "SELECT status FROM payment_intents WHERE id = %s"
# What an intent may say once its charge was answered so; a doubt may be resolved meanwhile.
MAY_SAY: Final = {
    "succeeded": {"succeeded"},
    "failed": {"failed"},
    "pending_verification": {"pending_verification", "succeeded", "failed"},
}


@pytest.fixture(scope="module")
def stack() -> Iterator[TemporaryStack]:
    """One stack with a replica."""
    with running_in_thread({**QUIET, "replica.enabled": "true"}) as stack:
        yield stack


@define
class Readings:
    """What was read after charges had been answered.

    Attributes:
        count: how many reads there were.
        stale: intents of which an older state was read than their merchant had been told.
        slowest_s: the longest that a read took.
    """

    count: int = 0
    stale: list[str] = field(factory=list)
    slowest_s: float = 0.0

    def note(self, told: Transaction, status: str | None, took_s: float = 0.0) -> None:
        """Hold one reading to what was told: the checker."""
        self.count += 1
        self.slowest_s = max(self.slowest_s, took_s)
        if status not in MAY_SAY[told.status]:
            self.stale.append(told.payment_intent)


@define
class Reading:
    """A merchant who pays and reads what became of it, and a reader that should not be trusted."""

    whole: WholeStack
    planted: psycopg.Connection[tuple[str]]
    through_api: Readings = field(factory=Readings)
    by_planted: Readings = field(factory=Readings)
    _number: int = 0

    async def pay_and_read(self, *, plant: bool) -> None:
        """One payment, and at once what is read of it."""
        self._number += 1
        told = await self.whole.pay(everyday_card(900_000 + self._number))
        if plant:
            self.by_planted.note(told, self._planted_status(told.payment_intent))
        began = trio.current_time()
        intent = await self.whole.shop.retrieve(told.payment_intent)
        self.through_api.note(told, intent.status, trio.current_time() - began)

    def _planted_status(self, intent: str) -> str | None:
        row = self.planted.execute(STATUS_SQL, [parse_id("pi", intent).hex()]).fetchone()
        return None if row is None else row[0]

    @asynccontextmanager
    async def load(self, *, plant: bool = False) -> AsyncIterator[None]:
        """Pay and read during the block, at a rate that nothing slows."""
        async with trio.open_nursery() as payments, trio.open_nursery() as source:

            async def begin() -> None:
                began = trio.current_time()
                for number in count():
                    await trio.sleep_until(began + number / RATE_PER_S)
                    payments.start_soon(lambda: self.pay_and_read(plant=plant))

            source.start_soon(begin)
            yield
            source.cancel_scope.cancel()


@pytest.fixture
async def reading(whole: WholeStack) -> AsyncIterator[Reading]:
    """Everything at work, the replica too: the API's reads are answered by it."""
    with trio.fail_after(BACK_WITHIN_S):
        while not await reads_on_replica(whole):
            await whole.pay_well(within_s=BACK_WITHIN_S)
            await whole.shop.retrieve(whole.told[-1].intent)
            await trio.sleep(0.1)
    with psycopg.connect(**replica_address(whole.stack), autocommit=True) as planted:
        yield Reading(whole, planted)


def replica_address(stack: TemporaryStack) -> dict[str, str]:
    """The replica's superuser: the primary's."""
    (folder,) = stack.endpoints.sockets["postgres"]
    password = (stack.data_dir / "postgres.password").read_text().strip()
    beside = str(Path(folder).parent / "pg-replica")
    return {"host": beside, "dbname": "turnout", "user": "postgres", "password": password}


async def counted(whole: WholeStack, name: str) -> float:
    """One of the API's counts of what became of its reads."""
    url = whole.stack.refresh().metrics["api"]
    text = await trio.to_thread.run_sync(lambda: urlopen(url).read().decode())
    wanted = f'turnout_api_replica_{name}_total{{shard="0"}} '
    [line] = [line for line in text.splitlines() if line.startswith(wanted)]
    return float(line.removeprefix(wanted))


async def reads_on_replica(whole: WholeStack) -> float:
    """How many batches the replica has answered."""
    return await counted(whole, "reads")


def processes_of_replica(stack: TemporaryStack) -> list[int]:
    """Every process of the replica, its postmaster among them."""
    data = stack.data_dir / "replica" / "data"
    owner = data.stat()
    return server_processes(data, Identity(owner.st_uid, owner.st_gid, switched=True))


@contextmanager
def stopped(process_ids: list[int]) -> Iterator[None]:
    """Keep processes from running (SIGSTOP) during the block."""
    for process_id in process_ids:
        os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        for process_id in process_ids:
            os.kill(process_id, signal.SIGCONT)


async def read_again(reading: Reading, before: float) -> None:
    """Wait until the replica answers reads once more."""
    with trio.fail_after(BACK_WITHIN_S):
        while await reads_on_replica(reading.whole) <= before:
            await reading.pay_and_read(plant=False)


async def test_a_killed_replica_is_missed_by_nobody(reading: Reading) -> None:
    """It comes back by itself and is read again; payments and reads go on meanwhile."""
    whole = reading.whole
    async with reading.load():
        await trio.sleep(BEFORE_S)
        killed = whole.kill("replica")
        await whole.back("replica", instead_of=killed)
        await trio.sleep(FAULT_S)
    await read_again(reading, await reads_on_replica(whole))
    assert reading.through_api.stale == []
    assert reading.through_api.count > RATE_PER_S * FAULT_S
    assert reading.through_api.slowest_s < READ_WITHIN_S
    await whole.prove()


async def test_a_replica_that_replays_no_more_is_not_believed(reading: Reading) -> None:
    """It answers, and what it says grows old: the planted reader is found out, the API is not."""
    whole = reading.whole
    row = reading.planted.execute(
        "SELECT pid::text FROM pg_stat_activity WHERE backend_type = 'startup'"
    ).fetchone()
    assert row is not None
    behind = await counted(whole, "behind")
    async with reading.load(plant=True):
        await trio.sleep(BEFORE_S)
        with stopped([int(row[0])]):
            await trio.sleep(FAULT_S)
    assert await counted(whole, "behind") > behind
    await read_again(reading, await reads_on_replica(whole))
    assert reading.through_api.stale == []
    assert len(reading.by_planted.stale) > RATE_PER_S * FAULT_S / 2
    assert reading.through_api.slowest_s < READ_WITHIN_S
    await whole.prove()


async def test_a_stopped_replica_holds_up_nobody_for_long(reading: Reading) -> None:
    """It says nothing at all: its sessions are given up, and the ledger itself answers."""
    whole = reading.whole
    lost = await counted(whole, "lost")
    async with reading.load():
        await trio.sleep(BEFORE_S)
        with stopped(processes_of_replica(whole.stack)):
            await trio.sleep(FAULT_S)
    assert await counted(whole, "lost") > lost
    await read_again(reading, await reads_on_replica(whole))
    assert reading.through_api.stale == []
    assert reading.through_api.slowest_s < READ_WITHIN_S
    await whole.prove()
