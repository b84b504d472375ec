"""`turnout bench webhooks`: from a commit to a merchant's server, and beside dead endpoints.

An op is one delivery. A whole stack runs; payment intents are created straight in its ledger, by
the role and the statement of the api, at a constant rate over a hundred merchants with an endpoint
each, so that what is measured is the way from the commit: WAL, relay, stream, consumer, sender. The
receiver is a server in this process that answers 200 at once; the latency is from the commit, by
the database's clock, until the request is there, and of first tries alone, because there are no
others. Then the same again beside ten more endpoints that take connections and never answer.

It ends by holding what was received to what was created: each event once.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Final

import attrs
import trio

from api.webhook_resources import API_VERSION
from benchmarks.latency import percentiles
from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.workplace import cpu_by_group, durability, reader_dsn
from chassis.settings import Settings
from hsm_sim.wire import SealSecrets, SecretsSealed
from ledger.ids import UUID7Source
from ledger.intents import Intents
from ledger.merchants import NewMerchant, create_merchant
from ledger.pool import Pool
from ledger.records import Created, IntentToCreate
from ledger.roles import ADMIN, API
from ledger.webhooks.endpoints import NewEndpoint, create_endpoint, secret_context
from stack.database import dsn_of_running
from stack.hsm import ask_hsm
from stack.running import open_administration
from stack.temporary import TemporaryStack, temporary_stack

BATCH_S: Final = 0.05  # between batches of intents
WARM_S: Final = 3.0
ARRIVED_WITHIN_S: Final = 30.0  # the last event of a round
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
EXPIRES_US: Final = 86_400_000_000
_LENGTH: Final = b"Content-Length: "
_ID: Final = b'{"id":"'
_TIMESTAMP: Final = b'"timestamp":"'
_IDS: Final = UUID7Source(lambda: time.time_ns() // 1_000, os.urandom)
_SETTINGS: Final = Settings()


@attrs.define
class Receiver:
    """A merchant's server for all endpoints that live; those that are dead have one of their own.

    Attributes:
        port: of the living.
        dead_port: of the dead.
        latencies_s: of what arrived since `begin`.
        seen: ids of events, since the start.
        repeats: deliveries of an event that was seen.
    """

    port: int
    dead_port: int
    latencies_s: list[float] = attrs.field(factory=list)
    seen: set[bytes] = attrs.field(factory=set)
    repeats: int = 0
    _wanted: int = 0
    _arrived: trio.Event = attrs.field(factory=trio.Event)

    async def until(self, count: int) -> None:
        """Wait until so many events arrived since the start."""
        self._wanted, self._arrived = count, trio.Event()
        if len(self.seen) < count:
            await self._arrived.wait()

    async def answer(self, stream: trio.abc.Stream) -> None:
        """Answer one connection's requests."""
        data = b""
        while more := await stream.receive_some():
            data += bytes(more)
            while (request := _split(data)) is not None:
                body, data = request
                self._take(body)
                await stream.send_all(ANSWER)

    def _take(self, body: bytes) -> None:
        at = body.index(_TIMESTAMP) + len(_TIMESTAMP)
        committed = datetime.fromisoformat(body[at : body.index(b'"', at)].decode())
        self.latencies_s.append(time.time() - committed.timestamp())
        id_ = body[len(_ID) : body.index(b'"', len(_ID))]
        self.repeats += id_ in self.seen
        self.seen.add(id_)
        if len(self.seen) == self._wanted:
            self._arrived.set()


async def hold(_stream: trio.abc.Stream) -> None:
    """Take a connection and never answer."""
    await trio.sleep_forever()


def _split(data: bytes) -> tuple[bytes, bytes] | None:
    """The body of the first whole request, and what is behind it."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    at = data.index(_LENGTH) + len(_LENGTH)
    end = head + 4 + int(data[at : data.index(b"\r\n", at)])
    return (data[head + 4 : end], data[end:]) if len(data) >= end else None


def run(
    *,
    seconds: float = 20.0,
    rate: float = 1_000.0,
    endpoints: int = 100,
    dead: int = 10,
    keep: bool = False,
) -> Document:
    """Measure and return the benchmark's document.

    Args:
        seconds: how long each of the two rounds is.
        rate: events a second, to the living.
        endpoints: that live, each of a merchant of its own.
        dead: that do not, in the second round.
        keep: leave the data directory behind.

    Raises:
        WrongResultsError: an event did not arrive, or twice.
        TemporaryStackError: the stack did not start.
        UnrealStorageError: fsync is off, or the data lies in memory.
    """
    return trio.run(partial(_run, seconds, rate, endpoints, dead, keep=keep))


async def _run(seconds: float, rate: float, endpoints: int, dead: int, *, keep: bool) -> Document:
    async with temporary_stack(keep=keep) as stack, _receiving() as receiver:
        facts = durability(reader_dsn(stack), stack.data_dir)
        async with _ledger(stack) as ledger:
            living = await _listeners(stack, ledger, endpoints, receiver.port)
            load = Load(ledger, receiver, living)
            await load.run(WARM_S, rate)
            progress(f"{endpoints} endpoints, {rate:g} events/s for {seconds:g} s ...")
            before = cpu_by_group(stack.endpoints.processes)
            without = await load.run(seconds, rate)
            after = cpu_by_group(stack.endpoints.processes)
            progress(f"the same beside {dead} that do not answer ...")
            load.dead = await _listeners(stack, ledger, dead, receiver.dead_port)
            await load.run(WARM_S, rate)
            beside = await load.run(seconds, rate)
    if receiver.repeats:
        raise WrongResultsError(f"{receiver.repeats} deliveries came twice")
    return bench_document(
        "webhooks",
        parameters={**facts, "seconds": seconds, "rate_per_s": rate, "endpoints": endpoints}
        | {"dead": dead, "batch_s": BATCH_S},
        results={
            "deliveries_per_s": without.per_s,
            **{f"first_{name}": figure for name, figure in without.latency.items()},
            **{f"beside_dead_{name}": figure for name, figure in beside.latency.items()},
            "beside_dead_p99_ratio": beside.latency["p99_ms"] / without.latency["p99_ms"],
        },
        cpu_us_per_op={
            group: (after[group] - before[group]) * 1e6 / without.count for group in after
        },
    )


@attrs.frozen
class Round:
    """What a round came to."""

    count: int
    per_s: float
    latency: dict[str, float]


@attrs.define
class Load:
    """Creates intents of merchants in turn, and waits until all were heard of."""

    ledger: Pool
    receiver: Receiver
    living: Sequence[bytes]
    dead: Sequence[bytes] = ()
    created: int = 0

    async def run(self, seconds: float, rate: float) -> Round:
        """One round.

        Raises:
            WrongResultsError: not every event arrived.
        """
        intents = Intents(self.ledger, limits=_SETTINGS.ledger)
        self.receiver.latencies_s = []
        began, count, dead = trio.current_time(), 0, 0.0
        while (elapsed := trio.current_time() - began) < seconds:
            due = int(rate * elapsed) - count
            dead += due * len(self.dead) / len(self.living)
            rows = [self._row(self.living[n % len(self.living)]) for n in range(count, count + due)]
            rows += [self._row(self.dead[n % len(self.dead)]) for n in range(int(dead))]
            dead -= int(dead)
            if rows:
                verdicts = await intents.create(rows)
                if not all(isinstance(verdict, Created) for verdict in verdicts):
                    raise WrongResultsError("an intent was not created")
            count += due
            await trio.sleep(BATCH_S)
        self.created += count
        with trio.move_on_after(ARRIVED_WITHIN_S):
            await self.receiver.until(self.created)
        if len(self.receiver.seen) != self.created:
            raise WrongResultsError(
                f"{len(self.receiver.seen)} events arrived, {self.created} intents were created"
            )
        return Round(count, count / seconds, percentiles(self.receiver.latencies_s))

    def _row(self, merchant_id: bytes) -> IntentToCreate:
        return IntentToCreate(
            intent_id=_IDS.next(),
            merchant_id=merchant_id,
            live=False,
            amount_minor=2_499,
            currency="usd",
            capture_method="automatic",
            allow_partial=False,
            request_id=os.urandom(16),
            client_secret_hash=bytes(32),
            description="An order",
            metadata=b"",
            merchant_reference="",
            key_digest=os.urandom(16),
            request_hash=bytes(16),
            expires_at_us=time.time_ns() // 1_000 + EXPIRES_US,
            epoch=1,
        )


@asynccontextmanager
async def _receiving() -> AsyncIterator[Receiver]:
    async with trio.open_nursery() as nursery:
        [living] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        [dead] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        receiver = Receiver(living.socket.getsockname()[1], dead.socket.getsockname()[1])
        nursery.start_soon(trio.serve_listeners, receiver.answer, [living])
        nursery.start_soon(trio.serve_listeners, hold, [dead])
        yield receiver
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _ledger(stack: TemporaryStack) -> AsyncIterator[Pool]:
    """The stack's ledger, as the api has it."""
    dsn = dsn_of_running(_SETTINGS, stack.data_dir, stack.endpoints, API)
    pool = Pool(dsn, 1, settings=_SETTINGS.ledger)
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.serve)
        yield pool
        nursery.cancel_scope.cancel()


async def _listeners(stack: TemporaryStack, ledger: Pool, count: int, port: int) -> Sequence[bytes]:
    """So many merchants with an endpoint each; their ids."""
    merchants = _IDS.take(count)
    ids = _IDS.take(count)
    request = SealSecrets([os.urandom(32) for _ in ids], [secret_context(id_) for id_ in ids])
    reply = await ask_hsm(stack.endpoints.sockets["hsm"][0], _SETTINGS, request)
    if not isinstance(reply, SecretsSealed):
        raise WrongResultsError("the HSM sealed no secrets")
    dsn = dsn_of_running(_SETTINGS, stack.data_dir, stack.endpoints, ADMIN)
    session = await open_administration(dsn, _SETTINGS)
    try:
        for merchant_id, id_, sealed in zip(merchants, ids, reply.blobs, strict=True):
            await create_merchant(session, _merchant(merchant_id))
            await create_endpoint(
                ledger, _endpoint(merchant_id, id_, port, sealed), endpoints_max=1
            )
    finally:
        await session.aclose()
    return merchants


def _merchant(merchant_id: bytes) -> NewMerchant:
    return NewMerchant(
        merchant_id=merchant_id,
        name="Shop",
        country="840",
        settlement_currency="usd",
        mcc="5999",
        terminal_id="1",
        card_acceptor_id="1",
        name_location="Shop",
    )


def _endpoint(merchant_id: bytes, id_: bytes, port: int, sealed: bytes) -> NewEndpoint:
    return NewEndpoint(
        endpoint_id=id_,
        merchant_id=merchant_id,
        live=False,
        url=f"http://127.0.0.1:{port}/hooks",
        description="",
        event_types=(),
        api_version=API_VERSION,
        sealed_secret=sealed,
        key_digest=os.urandom(16),
        request_hash=bytes(16),
    )
