"""The switch as a process, with a real HSM, real networks over mutual TLS and a real Postgres.

There is no api: requests enter by the mux, from an `Acquirer`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import trio

from benchmarks.witnesses import network_decisions
from chassis.mux import MuxClient, MuxClosedError, dial_unix
from hsm_sim.wire import HSMReply, HSMRequest, KeysListed, ListKeys
from ledger.connection import Connection
from ledger.deciding.records import IntentView
from ledger.deciding.views import read_views
from ledger.ids import public_id
from ledger.intents import Intents
from ledger.merchants import NewMerchant, create_merchant
from ledger.pgtypes import text_, uuid_, uuid_array
from ledger.queries import Query
from ledger.records import IntentToCreate
from switch.wire import Charge, Done, Operate, Refused, SwitchReply, SwitchRequest
from tests.support.hsm import key_list
from tests.support.ledger import IDS, intent
from tests.support.postgres import LedgerDSN
from tests.support.switch_processes import SwitchStack
from turnout_client.seal import seal_card

PUBLISHABLE_KEY = "pk_test_docs"
APPROVED = "4242424242424242"
DECLINED = "4000000000000002"
SILENT = "4000000000007809"
LATE = "4000000000008807"
SLOW = "4000000000009805"
SECOND_NETWORK = "5555555555554444"
MERCHANT_ID = IDS.next()
LOCK = Query("lock", "SELECT id FROM payment_intents WHERE id = $1::uuid FOR UPDATE")
COUNT = Query(
    "count",
    "SELECT count(*) FROM payment_intents WHERE id = ANY ($1::uuid[]) AND status = $2::text",
)
STATUS = Query("status", "SELECT status, version FROM payment_intents WHERE id = $1::uuid")
PARTITIONS = Query(
    "partitions", "SELECT count(*) FROM pg_inherits WHERE inhparent = $1::text::regclass"
)
WAITING = Query(
    "waiting",
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'",
)
WITHIN_S: Final = 20.0  # whatever is waited for, on a busy machine


class Acquirer:
    """What the api would be to these switches.

    Attributes:
        client: of the first switch.
        clients: of each switch.
    """

    def __init__(
        self,
        stack: SwitchStack,
        clients: list[MuxClient[SwitchRequest, SwitchReply]],
        keys: list[dict[str, Any]],
        session: Connection,
    ) -> None:
        self.stack = stack
        self.client = clients[0]
        self.clients = clients
        self._keys = keys
        self._session = session

    async def create(self, count: int = 1, **changes: Any) -> list[IntentToCreate]:
        """New intents of 24.99 USD, unless changed."""
        intents = [intent(MERCHANT_ID, **changes) for _ in range(count)]
        await Intents(self._session, limits=self.stack.settings.ledger).create(intents)
        return intents

    def charge_of(
        self, of: IntentToCreate, number: str = APPROVED, *, key: bytes | None = None
    ) -> Charge:
        """A charge with a card sealed for that intent."""
        return Charge(
            intent_id=of.intent_id,
            merchant_id=MERCHANT_ID,
            publishable_key=PUBLISHABLE_KEY,
            live=False,
            ciphertext=seal_card(
                keys=self._keys,
                mode="test",
                publishable_key=PUBLISHABLE_KEY,
                intent_id=public_id("pi", of.intent_id),
                number=number,
                exp_month=12,
                exp_year=2030,
                cvc="123",
            ),
            key_digest=key or os.urandom(16),
            request_hash=bytes(16),
            request_id=os.urandom(16),
        )

    async def order(
        self,
        of: IntentToCreate,
        type_: Any,
        amount_minor: int = 0,
        *,
        key: bytes | None = None,
        switch: int = 0,
    ) -> SwitchReply:
        """Capture, cancel or refund a payment, under a key of its own unless one is given."""
        operate = Operate(
            intent_id=of.intent_id,
            merchant_id=MERCHANT_ID,
            live=False,
            type=type_,
            amount_minor=amount_minor,
            final_capture=True,
            key_digest=key or os.urandom(16),
            request_hash=bytes(16),
            request_id=os.urandom(16),
        )
        return await self.clients[switch].call(operate)

    async def view(self, of: IntentToCreate) -> IntentView:
        """A payment with all that happened to it, as the ledger has it at one instant."""
        async with self.superuser() as session:
            await session.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return (await read_views(session, [of.intent_id]))[of.intent_id]

    async def pay(self, number: str = APPROVED, *, switch: int = 0) -> Done | Refused:
        """Create an intent and charge it."""
        (of,) = await self.create()
        reply: Done | Refused = await self.clients[switch].call(self.charge_of(of, number))
        return reply

    async def attempt(self, charge: Charge, *, switch: int = 0) -> SwitchReply | None:
        """Charge, or None where the switch went away meanwhile."""
        try:
            return await self.clients[switch].call(charge)
        except MuxClosedError:
            return None

    async def until_done(
        self, charge: Charge, *, switch: int = 0, seconds: float = WITHIN_S
    ) -> Done:
        """Repeat a charge under its key until the switch answers with its transaction."""
        with trio.fail_after(seconds):
            while not isinstance(reply := await self.attempt(charge, switch=switch), Done):
                await trio.sleep(0.05)
        return reply

    async def restart(self, name: str) -> None:
        """Drain one process and start it again; a restarted switch is connected to again."""
        await trio.to_thread.run_sync(self.stack.stop, name)
        await trio.to_thread.run_sync(self.stack.start, name)
        with trio.fail_after(WITHIN_S):
            while not self.client.connected:
                await trio.sleep(0.01)

    async def status(self, intent_id: bytes) -> str:
        """The intent's status as the ledger has it."""
        ((status, _),) = (await self._session.run(STATUS, [uuid_(intent_id)])).rows()
        return str(status)

    @asynccontextmanager
    async def held(self, of: IntentToCreate) -> AsyncIterator[None]:
        """Somebody else's transaction that has locked an intent until the block ends."""
        async with self.superuser() as session:
            await session.script("BEGIN")
            await session.run(LOCK, [uuid_(of.intent_id)])
            yield

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[Connection]:
        """A session that may look at everything, and meddle."""
        session = await Connection.open(self.stack.dsn.superuser, connect_timeout_s=5)
        try:
            yield session
        finally:
            await session.aclose()

    async def wait_for(self, intent_id: bytes, status: str, *, seconds: float = WITHIN_S) -> None:
        """Wait until the intent has a status."""
        with trio.fail_after(seconds):
            while await self.status(intent_id) != status:
                await trio.sleep(0.02)

    async def wait_for_count(
        self, intents: list[IntentToCreate], status: str, count: int, *, seconds: float = WITHIN_S
    ) -> None:
        """Wait until so many of the intents have a status at the same time."""
        params = [uuid_array([of.intent_id for of in intents]), text_(status)]
        with trio.fail_after(seconds):
            while (await self._session.run(COUNT, params)).column(0) != [count]:
                await trio.sleep(0.02)

    def decided(self, network: str) -> int:
        """How many financial messages a network has decided so far, by its own record."""
        return sum(1 for _ in network_decisions(self.stack.folder, [network]))

    async def wait_for_decided(self, network: str, count: int) -> None:
        """Wait until a network has decided at least so many."""
        with trio.fail_after(WITHIN_S):
            while self.decided(network) < count:
                await trio.sleep(0.01)

    async def wait_for_lock(self) -> None:
        """Wait until somebody waits for a lock."""
        async with self.superuser() as session:
            with trio.fail_after(WITHIN_S):
                while (await session.run(WAITING)).column(0) == [0]:
                    await trio.sleep(0.01)

    async def wait_for_partitions(
        self, table: str, count: int, *, seconds: float = WITHIN_S
    ) -> None:
        """Wait until a table has at least so many partitions."""
        with trio.fail_after(seconds):
            while (await self._session.run(PARTITIONS, [text_(table)])).column(0)[0] < count:
                await trio.sleep(0.02)


@asynccontextmanager
async def open_switch_stack(
    folder: Path, dsn: LedgerDSN, **changes: Any
) -> AsyncIterator[Acquirer]:
    """A running stack, changed as `SwitchStack` says, and the means to charge through it."""
    stack = SwitchStack(folder, dsn, **changes)
    try:
        async with trio.open_nursery() as nursery:
            for name in ("hsm", "vsim", "msim"):
                nursery.start_soon(trio.to_thread.run_sync, stack.start, name)
        admin = await Connection.open(dsn("turnout_admin"), connect_timeout_s=5)
        await _merchant(admin)
        async with trio.open_nursery() as nursery:
            for name in stack.switches:
                nursery.start_soon(trio.to_thread.run_sync, stack.start, name)
        session = await Connection.open(dsn("turnout_api"), connect_timeout_s=5)
        async with trio.open_nursery() as nursery:
            hsm: MuxClient[HSMRequest, HSMReply] = MuxClient(
                request_type=HSMRequest,
                reply_type=HSMReply,
                limits=stack.settings.mux,
                name="hsm",
            )
            await nursery.start(hsm.run, partial(dial_unix, str(folder / "hsm.sock")))
            listed = await hsm.call(ListKeys())
            assert isinstance(listed, KeysListed)
            clients: list[MuxClient[SwitchRequest, SwitchReply]] = []
            for name in stack.switches:
                clients.append(
                    MuxClient(
                        request_type=SwitchRequest,
                        reply_type=SwitchReply,
                        limits=stack.settings.mux,
                        name=name,
                    )
                )
                await nursery.start(clients[-1].run, partial(dial_unix, f"{folder}/{name}.sock"))
            acquirer = Acquirer(stack, clients, key_list(listed.keys), session)
            await _links_up(acquirer)
            yield acquirer
            nursery.cancel_scope.cancel()
        await session.aclose()
        await admin.aclose()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(stack.close)


async def _merchant(admin: Connection) -> None:
    await create_merchant(
        admin,
        NewMerchant(
            merchant_id=MERCHANT_ID,
            name="Demo shop",
            country="840",
            settlement_currency="usd",
            mcc="5999",
            terminal_id="TERM0001",
            card_acceptor_id="DEMOSHOP0000001",
            name_location="Demo shop Springfield US",
        ),
    )


async def _links_up(acquirer: Acquirer) -> None:
    """Charge until both networks have taken one: their links come up after the switch is ready."""
    with trio.fail_after(WITHIN_S):
        for switch, number in product(range(len(acquirer.clients)), (APPROVED, SECOND_NETWORK)):
            while not isinstance(await acquirer.pay(number, switch=switch), Done):
                await trio.sleep(0.05)
