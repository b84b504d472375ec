"""A whole stack under faults: a merchant's load through HTTP, processes killed or stopped, proof.

The load is what a merchant's server does: it creates an intent, seals a card, charges, and repeats
under the same idempotency key until it is answered. Nothing of it knows of the fault. A test ends
with `WholeStack.prove`, which compares what the merchant was told, what the ledger holds and what
the networks recorded.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import Any, Final

import psycopg
import trio
from attrs import define, evolve, field

from benchmarks.agreement import Agreement, Carried, Held, Told, agree
from benchmarks.witnesses import attempts_held, network_decisions
from benchmarks.workplace import reader_dsn
from chaos.audited import verify_audit
from chaos.stream_rows import read_streamed
from ledger.ids import public_id
from stack.credentials import Credentials
from stack.temporary import TemporaryStack, temporary_stack
from turnout_client import Card, RetryPolicy, Transaction
from turnout_client.on_trio import TrioTurnout
from turnout_client.protocol import Address

QUIET: Final[Mapping[str, str]] = MappingProxyType({"log.level": "warning"})
PATIENT: Final = RetryPolicy(tries_max=1_000, backoff_s=0.2, backoff_max_s=0.5)
SLOW: Final = "4000000000009805"  # approved after a second
ANSWERED_WITHIN_S: Final = 30.0  # by every payment, whatever was killed meanwhile
STREAMED_WITHIN_S: Final = 20.0  # a relay that was killed is back, and has caught up
RESTED_WITHIN_S: Final = 20.0  # recovery and every network timer
BACK_WITHIN_S: Final = 20.0  # a killed process, on a busy machine
_POLL_S: Final = 0.02

UNDECIDED_SQL = """
SELECT count(*) FROM attempts AS a
WHERE NOT EXISTS (
    SELECT FROM outcomes WHERE intent_id = a.intent_id AND attempt_id = a.id
)
"""
UNATTENDED_SQL = f"""{UNDECIDED_SQL} AND NOT EXISTS (
    SELECT FROM store_and_forward WHERE attempt_id = a.id AND manual
)
"""
# Charges whose outcome is unknown and has not been resolved, with their networks. An inquiry that
# nobody answered stays unknown for ever, and nothing hangs on it.
DOUBTS_SQL = """
SELECT a.intent_id, a.network
FROM attempts AS a
JOIN outcomes AS o ON o.intent_id = a.intent_id AND o.attempt_id = a.id
WHERE a.kind = 'request'
GROUP BY a.intent_id, a.network, a.id
HAVING bool_or(o.result = 'unknown') AND NOT bool_or(o.phase = 2)
"""
DOUBTED_SQL = """
SELECT a.intent_id, a.network
FROM attempts AS a
JOIN outcomes AS o ON o.intent_id = a.intent_id AND o.attempt_id = a.id
WHERE a.kind = 'request' AND o.phase = 1 AND o.result = 'unknown'
"""
TWICE_SQL = "SELECT intent_id FROM transactions GROUP BY intent_id HAVING count(*) > 1"
STATES_SQL = "SELECT intent_id, type, status FROM transaction_states"


def everyday_card(number: int) -> str:
    """The PAN of the n-th payment: both networks, some declined, a tenth slow to be approved."""
    if number % 10 == 0:
        return SLOW
    prefix = ("42424200", "55555500")[number % 2]
    if number % 20 == 7:
        prefix = ("42424205", "55555505")[number % 2]
    return f"{prefix}{number:08d}"


@define
class Load:
    """Payments under way and answered.

    Attributes:
        told: the answers to the charges, in their order of arrival.
        started: payments begun so far.
        charging: payments whose charge has been sent and not been answered.
    """

    told: list[Told] = field(factory=list)
    started: int = 0
    charging: int = 0
    _source: trio.CancelScope = field(factory=trio.CancelScope)

    async def finish(self) -> None:
        """Begin no more payments, and wait until every one is answered."""
        self._source.cancel()
        with trio.fail_after(ANSWERED_WITHIN_S):
            while self.unanswered:
                await trio.sleep(_POLL_S)

    @property
    def unanswered(self) -> int:
        """Payments begun and not answered yet."""
        return self.started - len(self.told)

    def statuses(self) -> Counter[str]:
        """How many payments were told what."""
        return Counter(answer.status for answer in self.told)

    def told_pending(self) -> set[str]:
        """Intents whose charge was answered with a doubt."""
        return {answer.intent for answer in self.told if answer.status == "pending_verification"}


@define
class WholeStack:
    """A running stack and a merchant that charges through it.

    Attributes:
        stack: as `stack.temporary` runs it.
        shop: the client of the demo shop; never gives up.
        shard: on which the merchant's payments are, where the stack has several.
        told: what it was told so far, by all loads.
    """

    stack: TemporaryStack
    shop: TrioTurnout
    shard: int | None = None
    told: list[Told] = field(factory=list)
    _numbers: Iterator[int] = field(factory=lambda: count(1))

    # ---------------------------------------------------------------------------------- payments

    async def pay(self, pan: str, load: Load | None = None) -> Transaction:
        """Create an intent and charge it, again and again until both are answered."""
        load = Load() if load is None else load
        load.started += 1
        intent = await self.shop.create_payment_intent(2_499, "usd")
        card = Card(number=pan, exp_month=12, exp_year=2030, cvc="123")
        ciphertext = await self.shop.seal(intent, card)
        load.charging += 1
        transaction = await self.shop.charge(intent, ciphertext)
        load.charging -= 1
        answer = Told(transaction.payment_intent, transaction.id, transaction.status)
        load.told.append(answer)
        self.told.append(answer)
        return transaction

    async def pay_well(self, *, within_s: float) -> None:
        """Pay once on each network, both approved, within so long."""
        with trio.fail_after(within_s):
            for place in (0, 1):
                number = 2 * next(self._numbers) + place
                prefix = ("42424200", "55555500")[place]
                while (await self.pay(f"{prefix}{number:08d}")).status != "succeeded":
                    await trio.sleep(_POLL_S)

    def impatient(self) -> TrioTurnout:
        """The same merchant, who asks only once."""
        return _client(self.stack, RetryPolicy(tries_max=1))

    @asynccontextmanager
    async def load(
        self, per_s: float, pan: Callable[[int], str] = everyday_card
    ) -> AsyncIterator[Load]:
        """Begin so many payments a second during the block; all are answered at its end.

        The rate is kept whatever becomes of the payments before: an open loop.
        """
        load = Load()
        async with trio.open_nursery() as payments:
            payments.start_soon(self._begin_payments, load, per_s, pan, payments)
            yield load
            await load.finish()

    async def _begin_payments(
        self, load: Load, per_s: float, pan: Callable[[int], str], payments: trio.Nursery
    ) -> None:
        began = trio.current_time()
        with load._source:
            for number in count():
                await trio.sleep_until(began + number / per_s)
                payments.start_soon(self.pay, pan(next(self._numbers)), load)

    def move_to(self, stack: TemporaryStack) -> None:
        """Go on at another address of the same shop, requests under way included."""
        self.stack = stack
        address = Address.parse(stack.endpoints.api.url)
        self.shop._core.address = self.shop._transport._address = address

    # ------------------------------------------------------------------------------------ faults

    def process_id(self, name: str) -> int:
        """Of one process, now."""
        return self.stack.refresh().processes[name]

    def kill(self, name: str) -> int:
        """End one process as a crash would; returns its process id."""
        process_id = self.process_id(name)
        os.kill(process_id, signal.SIGKILL)
        return process_id

    async def back(self, name: str, *, instead_of: int) -> None:
        """Wait until the supervisor runs another process in the place of a killed one."""
        with trio.fail_after(BACK_WITHIN_S):
            while self.stack.refresh().processes.get(name) in {None, instead_of}:
                await trio.sleep(_POLL_S)

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Keep one process from running (SIGSTOP) during the block."""
        process_id = self.process_id(name)
        os.kill(process_id, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process_id, signal.SIGCONT)

    # ------------------------------------------------------------------------------------- proof

    @property
    def home(self) -> TemporaryStack:
        """The stack as who works on the merchant's ledger sees it."""
        return self.stack.of_shard(self.shard) if self.shard else self.stack

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger, read over a session of their own."""
        with psycopg.connect(reader_dsn(self.home)) as connection:
            return connection.execute(sql.encode()).fetchall()

    def superuser(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A session that may do anything: for locks, and for cutting other sessions."""
        password = (self.stack.data_dir / "postgres.password").read_text().strip()
        (folder,) = self.stack.endpoints.sockets["postgres"]
        return psycopg.connect(host=folder, dbname="turnout", user="postgres", password=password)

    async def rest(self, undecided: str = UNDECIDED_SQL) -> None:
        """Wait until every attempt has an outcome; or until none is as another query counts."""
        with trio.fail_after(RESTED_WITHIN_S):
            while await trio.to_thread.run_sync(self.query, undecided) != [(0,)]:
                await trio.sleep(_POLL_S)

    async def doubts(self, load: Load) -> dict[str, str]:
        """Intents of a load whose charge is still in doubt, each with its network."""
        return await self._networks(load, DOUBTS_SQL)

    async def doubted(self, load: Load) -> dict[str, str]:
        """Intents of a load whose charge was ever in doubt, each with its network."""
        return await self._networks(load, DOUBTED_SQL)

    async def _networks(self, load: Load, sql: str) -> dict[str, str]:
        intents = {answer.intent for answer in load.told}
        rows = await trio.to_thread.run_sync(self.query, sql)
        named = {public_id("pi", intent.bytes): network for intent, network in rows}
        return {intent: network for intent, network in named.items() if intent in intents}

    async def prove(self, *, refunded: Collection[str] = ()) -> Agreement:
        """Wait for rest; every payment is one transaction, and the three witnesses agree.

        Payments that were `refunded`, which nobody is told of here, succeeded twice each.
        """
        await self.rest()
        paid = {answer.intent for answer in self.told}
        assert len(paid) == len(self.told)
        twice = await trio.to_thread.run_sync(self.query, TWICE_SQL)
        assert paid.isdisjoint(public_id("pi", intent.bytes) for (intent,) in twice)
        held, carried = await trio.to_thread.run_sync(self.witnesses)
        agreement = agree(len(self.told), self.told, held, carried)
        assert set(agreement.duplicated) == set(refunded), agreement
        assert evolve(agreement, duplicated=()).holds, agreement
        await self._prove_refunds(refunded)
        return agreement

    async def _prove_refunds(self, refunded: Collection[str]) -> None:
        """Each of these payments is one charge and one refund, and both succeeded."""
        found: dict[str, list[tuple[str, str]]] = {intent: [] for intent in refunded}
        for intent, kind, status in await trio.to_thread.run_sync(self.query, STATES_SQL):
            if (name := public_id("pi", intent.bytes)) in found:
                found[name].append((kind, status))
        wanted = [("charge", "succeeded"), ("refund", "succeeded")]
        assert all(sorted(transactions) == wanted for transactions in found.values()), found

    async def prove_stream(self) -> None:
        """See every version of every row in the event stream once, and the audit log verified."""
        compare = partial(read_streamed, within_s=STREAMED_WITHIN_S)
        home, shard = self.home, self.shard or 0
        ask = partial(compare, reader_dsn(home), home.data_dir, shard=shard)
        streamed = await trio.to_thread.run_sync(ask)
        assert streamed.holds, streamed
        verify = partial(verify_audit, self.stack.data_dir, shard)
        audited = await trio.to_thread.run_sync(verify)
        assert audited.ok, audited

    def witnesses(self) -> tuple[list[Held], list[Carried]]:
        """What the ledger holds, and what the networks recorded."""
        held = attempts_held(reader_dsn(self.home))
        networks = sorted(self.stack.endpoints.networks)
        return held, list(network_decisions(self.stack.data_dir, networks, self.shard))


@asynccontextmanager
async def merchant_of(
    stack: TemporaryStack, merchant: Credentials | None = None, *, shard: int | None = None
) -> AsyncIterator[WholeStack]:
    """The demo shop, or another merchant, at work on a running stack."""
    async with _client(stack, PATIENT, merchant) as shop:
        yield WholeStack(stack, shop, shard)


def _client(
    stack: TemporaryStack, policy: RetryPolicy, merchant: Credentials | None = None
) -> TrioTurnout:
    credentials = merchant or stack.credentials()
    return TrioTurnout(
        credentials.publishable_key,
        credentials.secret_key,
        stack.endpoints.api.url,
        policy=policy,
        connections_max=4_096,
    )


@contextmanager
def running_in_thread(overrides: Mapping[str, str] = QUIET) -> Iterator[TemporaryStack]:
    """A stack for more than one test: it outlives the event loops of single ones."""
    ready, ended = threading.Event(), threading.Event()
    found: list[TemporaryStack] = []
    stop: list[Callable[[], None]] = []
    failure: list[BaseException] = []

    async def hold() -> None:
        stopped = trio.Event()
        token = trio.lowlevel.current_trio_token()
        async with temporary_stack(overrides) as stack:
            found.append(stack)
            stop.append(lambda: token.run_sync_soon(stopped.set))
            ready.set()
            await stopped.wait()

    def run() -> None:
        try:
            trio.run(hold)
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            failure.append(error)
        finally:
            ready.set()
            ended.set()

    threading.Thread(target=run, name="stack").start()
    ready.wait()
    try:
        if found:
            yield found[0]
    finally:
        if stop:
            stop[0]()
        ended.wait()
    if failure:
        raise failure[0]
    assert found[0].exit_code == 0, found[0].log_file
