"""`turnout bench drain`: thousands of reversals wait for a network, and drain beside live payments.

    before      live charges at a constant rate: what they take with nothing else to do
    outage      charges whose approvals are lost on their way; the network hears no reversal either,
                then it is gone, and the reversals wait for it
    drain       the network is back: reversals leave as fast as they may, beside live charges at the
                same rate

Live charges of the drain are those that the network decided before the last reversal. In the end
merchant, ledger and network must say the same of every payment, each reversal must have been
decided exactly once, and reversals must have left no faster than `saf_drain_per_s` allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs
import psycopg
import trio

from benchmarks.charges import WARM_UP_CHARGES, Prepared, prepare
from benchmarks.drained import Drives, drain_document
from benchmarks.driving import LoadResult, drive
from benchmarks.merchant import intents_seen, merchant_of
from benchmarks.played import PLAYED, Scene, stack_with_played_network
from benchmarks.prepared import numbers_behind
from benchmarks.report import Document, WrongResultsError, progress
from benchmarks.witnesses import told
from benchmarks.workplace import address, cpu_by_group, durability, reader_dsn
from chaos.agreement import agree
from chaos.books import read_books
from chaos.ledger_rows import read_ledger
from chaos.rest import come_to_rest
from network_sim.faults import Ignore, Match, Rule, Withhold

DOOMED: Final = "424242001"  # of the simulator's load ranges; their answers get lost
LIVE: Final = "424242002"
BEFORE_S: Final = 15.0
DRAIN_S: Final = 60.0  # of live charges at most: three times what the rate wants for 10,000
OUTAGE_PER_S: Final = 500.0
SPARE: Final = 1.03
LIVE_EVERY: Final = 20  # of the outage's charges one is answered, so the network counts as alive
QUEUED_WITHIN_S: Final = 120.0
REST_S: Final = 600.0
CONNECTIONS: Final = 256
OUTAGE_CONNECTIONS: Final = 2_048  # a charge without an answer takes two seconds
POLL_S: Final = 0.1
REFUSALS: Final = frozenset({503})  # in the moment in which the network comes back
DECIDED: Final = frozenset({"succeeded", "failed"})
QUEUED_SQL: Final = "SELECT count(*) FROM store_and_forward WHERE kind = 'reversal' AND NOT manual"


@attrs.frozen(kw_only=True)
class Order:
    """How much."""

    reversals: int
    rate: float

    @property
    def before(self) -> int:
        """Live charges of the first part."""
        return int(BEFORE_S * self.rate)

    @property
    def doomed(self) -> int:
        """Charges whose answers get lost: some more, for a busy machine may not send them all."""
        return int(self.reversals * SPARE)

    @property
    def outage(self) -> int:
        """Charges of the second part, live ones between the doomed."""
        return self.doomed + -(-self.doomed // (LIVE_EVERY - 1))

    @property
    def drain(self) -> int:
        """Live charges of the third part at most."""
        return int(DRAIN_S * self.rate)

    @property
    def total(self) -> int:
        """All of them."""
        return self.before + self.outage + self.drain

    def numbers(self, count: int, seed: int) -> list[str]:
        """The PANs, in the order of the charges."""
        doomed = numbers_behind(DOOMED, self.doomed, seed)
        live = numbers_behind(LIVE, count - self.doomed, seed)
        first = WARM_UP_CHARGES + self.before
        outage = [
            live.pop() if place % LIVE_EVERY == LIVE_EVERY - 1 or not doomed else doomed.pop()
            for place in range(self.outage)
        ]
        return [*live[:first], *outage, *live[first:]]


def run(*, reversals: int = 10_000, rate: float = 300.0, keep: bool = False) -> Document:
    """Measure the drain.

    Args:
        reversals: that wait.
        rate: live charges a second.
        keep: leave the data directory behind.

    Raises:
        WrongResultsError: a payment's witnesses disagree, a reversal was decided twice or never, or
            they left faster than they may.
        UnrealStorageError: commits would not be durable where the data lies.
    """
    return trio.run(partial(_run, Order(reversals=reversals, rate=rate), keep=keep))


async def _run(order: Order, *, keep: bool) -> Document:
    overrides = {
        f"networks.{PLAYED}.unknown_policy": "reverse",  # else an inquiry would find them out
        f"networks.{PLAYED}.reconnect_max_s": "1.0",
    }
    async with stack_with_played_network(overrides, keep=keep) as scene:
        stack, dsn = scene.stack, reader_dsn(scene.stack)
        facts = await trio.to_thread.run_sync(durability, dsn, stack.data_dir)
        prepared = await trio.to_thread.run_sync(prepare, stack, order.total, order.numbers)
        drives = await _drives(scene, prepared, order)
        progress("waiting until nothing is under way, then comparing ...")
        left = await come_to_rest(dsn, REST_S)
        seen = await trio.to_thread.run_sync(intents_seen, stack, prepared.intents)
        ledger = await trio.to_thread.run_sync(read_ledger, dsn)
        books = await trio.to_thread.run_sync(read_books, stack.data_dir, [PLAYED])
    verdict = agree(merchant_of(drives.all, seen, refusals=REFUSALS), ledger, books)
    parameters = {"reversals": order.reversals, "live_per_s": order.rate, **facts}
    return drain_document(parameters, drives, books, verdict, left)


async def _drives(scene: Scene, prepared: Prepared, order: Order) -> Drives:
    host, port = address(scene.stack)
    charges = prepared.charges
    outage_at, drain_at = order.before, order.before + order.outage

    def burned(since: Mapping[str, float] = MappingProxyType({})) -> dict[str, float]:
        used = cpu_by_group(scene.stack.endpoints.processes)
        return {group: seconds - since.get(group, 0.0) for group, seconds in used.items()}

    async def send(requests: list[bytes], rate: float, connections: int) -> LoadResult:
        seconds = len(requests) / rate + 1.0 if rate else 60.0
        sending = partial(drive, seconds=seconds, rate=rate, connections=connections)
        return await trio.to_thread.run_sync(sending, host, port, requests)

    warm_up = await send(prepared.warm_up, 0.0, CONNECTIONS)
    progress(f"{order.rate:g} charges a second with nothing else to do ...")
    began = burned()
    before = await send(charges[:outage_at], order.rate, CONNECTIONS)
    before_cpu_s = burned(began)
    progress(f"losing the answers of {order.reversals:,} charges ...")
    scene.playing.script.add(Rule(match=Match(pan=f"{DOOMED}*", mti="0200"), action=Withhold()))
    scene.playing.script.add(Rule(match=Match(mti=("0420", "0421")), action=Ignore()))
    outage = await send(charges[outage_at:drain_at], OUTAGE_PER_S, OUTAGE_CONNECTIONS)
    in_doubt = sum(answer.status not in DECIDED for answer in told(outage.outcome))
    queued = await _queued(reader_dsn(scene.stack), max(in_doubt, order.reversals))
    scene.go_away()
    progress(f"{queued:,} reversals wait for a network that is gone; it comes back ...")
    scene.playing.script.clear()
    await scene.come_back()
    began = burned()
    drain = await send(charges[drain_at:], order.rate, CONNECTIONS)
    return Drives(
        warm_up=warm_up,
        before=before,
        outage=outage,
        drain=drain,
        queued=queued,
        before_cpu_s=before_cpu_s,
        drain_cpu_s=burned(began),
    )


async def _queued(dsn: str, wanted: int) -> int:
    """Wait until so many reversals wait for their acknowledgment.

    Raises:
        WrongResultsError: they do not.
    """
    queued = 0
    with trio.move_on_after(QUEUED_WITHIN_S):
        while True:
            queued = await trio.to_thread.run_sync(_count, dsn)
            if queued >= wanted:
                return queued
            await trio.sleep(POLL_S)
    raise WrongResultsError(f"{queued} reversals were queued, not {wanted}")


def _count(dsn: str) -> int:
    with psycopg.connect(dsn) as session:
        row = session.execute(QUEUED_SQL).fetchone()
    assert row is not None
    return int(row[0])
