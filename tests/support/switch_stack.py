"""The switch as a process, with a real HSM, real networks over mutual TLS and a real Postgres.

`SwitchStack` starts each process as the supervisor would, speaks to the switch as the api does,
and can kill any of them. It has no api: requests enter by the mux.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import trio

from benchmarks.child import ChildError, service_process
from chassis.mux import MuxClient, MuxClosedError, dial_unix
from chassis.pki import development_pki
from chassis.settings import Log, Network, Settings, Switch
from hsm_sim.wire import HSMReply, HSMRequest, KeysListed, ListKeys
from ledger.connection import Connection
from ledger.deciding.records import IntentView
from ledger.deciding.views import read_views
from ledger.ids import public_id
from ledger.intents import Intents
from ledger.merchants import NewMerchant, create_merchant
from ledger.pgtypes import text_, uuid_
from ledger.queries import Query
from ledger.records import IntentToCreate
from switch.wire import Charge, Done, Operate, Refused, SwitchReply, SwitchRequest
from tests.support.hsm import key_list
from tests.support.ledger import IDS, intent
from tests.support.postgres import LedgerDSN
from turnout_client.seal import seal_card

ME = os.getuid()
PUBLISHABLE_KEY = "pk_test_docs"
APPROVED = "4242424242424242"
DECLINED = "4000000000000002"
SILENT = "4000000000007809"
LATE = "4000000000008807"
SLOW = "4000000000009805"
SECOND_NETWORK = "5555555555554444"
MERCHANT_ID = IDS.next()
LOCK = Query("lock", "SELECT id FROM payment_intents WHERE id = $1::uuid FOR UPDATE")
STATUS = Query("status", "SELECT status, version FROM payment_intents WHERE id = $1::uuid")

_NETWORKS: tuple[tuple[str, str, tuple[str, ...], Literal["single", "dual"]], ...] = (
    ("vsim", "400001", ("4",), "single"),
    ("msim", "500001", ("5", "2"), "dual"),
)
PARTITIONS = Query(
    "partitions", "SELECT count(*) FROM pg_inherits WHERE inhparent = $1::text::regclass"
)


class SwitchStack:
    """Processes by name; `start` and `stop` one, or all with `async with open_switch_stack`.

    Switches beyond the first are called `switch-1`, `switch-2` … `network` holds changes to the
    settings of both networks, `changes` to the sections of all settings.
    """

    def __init__(
        self,
        folder: Path,
        dsn: LedgerDSN,
        *,
        switches: int = 1,
        network: Mapping[str, Any] = MappingProxyType({}),
        **changes: Any,
    ) -> None:
        self.folder = folder
        self.dsn = dsn
        self.switches = ["switch", *(f"switch-{index}" for index in range(1, switches))]
        self.listeners: dict[str, socket.socket] = {}
        self.processes: dict[str, tuple[ExitStack, subprocess.Popen[bytes]]] = {}
        for name in ("vsim", "msim"):
            self.listeners[name] = socket.create_server(("127.0.0.1", 0))
        for name in ("hsm", *self.switches):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(folder / f"{name}.sock"))
            listener.listen()
            self.listeners[name] = listener
        networks = {
            name: Network(
                port=self.listeners[name].getsockname()[1],
                server_name=f"{name}.turnout.test",
                acquirer_id=acquirer_id,
                **{
                    "bins": bins,
                    "messages": messages,
                    "response_deadline_s": 0.6,
                    "reconnect_max_s": 0.5,
                }
                | network,
            )
            for name, acquirer_id, bins, messages in _NETWORKS
        }
        self.settings = msgspec.structs.replace(
            Settings(log=Log(level="warning"), networks=networks, switch=Switch()), **changes
        )
        development_pki(
            folder / "pki",
            {
                "vsim": ("vsim.turnout.test", "server"),
                "msim": ("msim.turnout.test", "server"),
                "switch": ("acquirer.turnout.test", "client"),
            },
        )

    def start(self, name: str) -> None:
        """Start one process and wait until it is ready."""
        role = "network" if name in self.settings.networks else "mux"
        service, _, index = name.partition("-")
        stack = ExitStack()
        process = stack.enter_context(
            service_process(
                service,
                index=int(index or 0),
                settings=self.settings,
                data_dir=self.folder,
                listeners={role: self.listeners[name]},
                allowed_uids=dict.fromkeys(("switch", "api", "admin"), ME),
                endpoints={
                    "hsm": [str(self.folder / "hsm.sock")],
                    **{
                        network: [f"127.0.0.1:{settings.port}"]
                        for network, settings in self.settings.networks.items()
                    },
                },
                secrets={"database_dsn": self.dsn("turnout_switch")} if service == "switch" else {},
            )
        )
        self.processes[name] = (stack, process)

    def stop(self, name: str) -> None:
        """Drain one process; its exit status must be 0."""
        stack, _ = self.processes.pop(name)
        stack.close()

    def kill(self, name: str) -> None:
        """End one process with SIGKILL, as a crash would."""
        self.processes[name][1].kill()
        assert self.ended(name) == -signal.SIGKILL

    def ended(self, name: str) -> int:
        """The exit status of a process that ends without being asked to; waits for it."""
        stack, process = self.processes.pop(name)
        status = process.wait(10)
        with contextlib.suppress(ChildError):  # not 0
            stack.close()
        return status

    def signal(self, name: str, number: signal.Signals) -> None:
        """Stop (SIGSTOP) or continue (SIGCONT) one process."""
        self.processes[name][1].send_signal(number)

    def close(self) -> None:
        """Stop whatever runs, the switches first."""
        for name in (*self.switches, "vsim", "msim", "hsm"):
            if name in self.processes:
                self.stop(name)
        for listener in self.listeners.values():
            listener.close()


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

    async def until_done(self, charge: Charge, *, switch: int = 0, seconds: float = 10.0) -> Done:
        """Repeat a charge under its key until the switch answers with its transaction."""
        with trio.fail_after(seconds):
            while not isinstance(reply := await self.attempt(charge, switch=switch), Done):
                await trio.sleep(0.05)
        return reply

    async def restart(self, name: str) -> None:
        """Drain one process and start it again; a restarted switch is connected to again."""
        await trio.to_thread.run_sync(self.stack.stop, name)
        await trio.to_thread.run_sync(self.stack.start, name)
        with trio.fail_after(5):
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

    async def wait_for(self, intent_id: bytes, status: str, *, seconds: float = 5.0) -> None:
        """Wait until the intent has a status."""
        with trio.fail_after(seconds):
            while await self.status(intent_id) != status:
                await trio.sleep(0.02)

    async def wait_for_count(
        self, intents: list[IntentToCreate], status: str, count: int, *, seconds: float = 5.0
    ) -> None:
        """Wait until so many of the intents have a status at the same time."""
        with trio.fail_after(seconds):
            while [await self.status(of.intent_id) for of in intents].count(status) != count:
                await trio.sleep(0.02)

    async def wait_for_partitions(self, table: str, count: int, *, seconds: float = 5.0) -> None:
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
    with trio.fail_after(10):
        for switch, number in product(range(len(acquirer.clients)), (APPROVED, SECOND_NETWORK)):
            while not isinstance(await acquirer.pay(number, switch=switch), Done):
                await trio.sleep(0.05)
