"""The parts of the api put together: what asks the ledger, the switch and the HSM, behind a gate.

Nothing here does I/O when it is built, and everything that does comes in from outside, so the
process, the tests and the benchmark build the same api.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import trio
from attrs import define

from api import routes
from api.auth.verify import NONCE_MARGIN_S, Verifier
from api.balance import BalanceLookup, Balances, Sums
from api.capture_keys import CaptureKeyDirectory
from api.charging import Charging
from api.coalescing import Coalescer
from api.creations import create_all
from api.gate import Endpoint, Gate, IntentLookup
from api.http.server import Server
from api.http.tls import server_context
from api.key_service import KeyService
from api.merchants import MerchantDirectory
from api.nonces import NonceTable
from api.pages import Pages
from api.payment_intents import Creations, Lists, PaymentIntents, Timelines
from api.query import ListQuery
from api.recording import RequestMetrics
from api.routes import ROUTES, Router
from api.transactions import Transactions
from chassis.clock import now_us
from chassis.mux import MuxClient
from chassis.settings import Settings
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.ids import UUID7Source
from ledger.intents import Intents
from ledger.postings.balances import merchant_balance
from ledger.records import IntentPage, TimelineEvent
from ledger.statements import Runner
from ledger.timeline import read_timeline
from switch.wire import SwitchReply, SwitchRequest

NONCE_KEY_BYTES: Final = 32
LIST_TASKS: Final = 2  # lists and timelines are one query each; no more sessions than these


@define(kw_only=True)
class Outside:
    """What the api speaks to.

    Attributes:
        runner: a pool of role turnout_api.
        hsm: a client for each worker of the HSM.
        switches: a client for each switch, in the order of their indexes.
        readiness: what `/readyz` shows.
    """

    runner: Runner
    hsm: list[MuxClient[HSMRequest, HSMReply]]
    switches: list[MuxClient[SwitchRequest, SwitchReply]]
    readiness: Callable[[], Mapping[str, bool]]


@define
class Application:
    """The api, ready to run.

    Attributes:
        server: serves HTTP.
        gate: what the server hands requests to.
        nonces: what was used.
        metrics: counts of requests.
        coalescers: every kind of query.
        key_service: the HSM.
        charging: the switches.
        payment_intents: their endpoints.
    """

    server: Server
    gate: Gate
    nonces: NonceTable
    metrics: RequestMetrics
    coalescers: list[Coalescer[Any, Any]]
    key_service: KeyService
    charging: Charging
    payment_intents: PaymentIntents
    _capture_keys: CaptureKeyDirectory
    _parallel: list[Coalescer[Any, Any]]

    def start(self, nursery: trio.Nursery) -> None:
        """Start the tasks that ask; they end after `close`."""
        for coalescer in self.coalescers:
            for _ in range(LIST_TASKS if coalescer in self._parallel else 1):
                nursery.start_soon(coalescer.run)
        nursery.start_soon(self._capture_keys.run)

    def heed_storage(self, is_full: bool) -> None:  # noqa: FBT001  told by whoever watches
        """Create nothing while the disks are full; reading goes on."""
        self.payment_intents.storage_is_full = is_full

    def heed_stream(self, is_behind: bool) -> None:  # noqa: FBT001  told by whoever watches
        """Create nothing while the event stream is too far behind; reading goes on."""
        self.payment_intents.stream_is_behind = is_behind

    def close(self) -> None:
        """Ask nothing more; call when the last connection is gone."""
        for coalescer in self.coalescers:
            coalescer.close()
        self._capture_keys.close()


def assemble(settings: Settings, outside: Outside, *, started_s: float) -> Application:
    """Build the api.

    Args:
        settings: the whole tree.
        outside: what it speaks to.
        started_s: seconds since 1970 from which on nonces are remembered; older timestamps are
            refused, so serve only after the next full second.

    Raises:
        TLSFilesError: the TLS certificate or key cannot be loaded.
    """
    limits = settings.api
    key_service = KeyService(outside.hsm, deadline_s=settings.hsm.open_deadline_s)
    merchants = MerchantDirectory(
        outside.runner, key_service, limits, batch_secrets_max=settings.hsm.batch_secrets_max
    )
    capture_keys = CaptureKeyDirectory(
        key_service, keep_s=limits.keys_cache_s, queue_max=limits.queue_max
    )
    nonces = NonceTable(
        limits.nonce_slots,
        retention_s=2 * limits.timestamp_window_s + NONCE_MARGIN_S,
        forgotten_until_s=int(started_s),
        now=time.monotonic(),
        key=secrets.token_bytes(NONCE_KEY_BYTES),
    )
    charging = Charging(outside.switches)
    payment_intents = _payment_intents(settings, outside.runner)
    balances = _balances(settings, outside.runner)
    transactions = Transactions(payment_intents.intents, charging)
    gate = Gate(
        live=settings.mode == "live",
        router=Router(ROUTES),
        endpoints=_endpoints(
            payment_intents, transactions, balances, Pages(capture_keys, outside.readiness)
        ),
        verifier=Verifier(window_s=limits.timestamp_window_s, nonces=nonces),
        merchants=merchants,
        intents=payment_intents.intents,
    )
    metrics = RequestMetrics()
    return Application(
        server=Server(
            limits,
            gate.handle,
            finished=metrics.finished,
            context=(
                server_context(limits.tls_certificate, limits.tls_key)
                if limits.tls_certificate
                else None
            ),
        ),
        gate=gate,
        nonces=nonces,
        metrics=metrics,
        coalescers=[
            merchants.queries,
            payment_intents.intents,
            payment_intents.creations,
            payment_intents.lists,
            payment_intents.timelines,
            balances.lookup,
        ],
        key_service=key_service,
        charging=charging,
        payment_intents=payment_intents,
        capture_keys=capture_keys,
        parallel=[payment_intents.lists, payment_intents.timelines],
    )


def _payment_intents(settings: Settings, runner: Runner) -> PaymentIntents:
    limits = settings.api
    ledger = Intents(runner, limits=settings.ledger)
    reads: IntentLookup = Coalescer(
        "intents", ledger.get_many, queue_max=limits.queue_max, batch_max=limits.read_batch_max
    )
    creations: Creations = Coalescer(
        "creations",
        partial(create_all, ledger),
        queue_max=limits.queue_max,
        batch_max=limits.create_batch_max,
    )

    async def list_pages(questions: list[tuple[bytes, bool, ListQuery]]) -> list[IntentPage]:
        return [
            await ledger.list_page(
                merchant_id,
                live=live,
                limit=query.limit,
                after=query.after,
                created_from=query.lowest_id,
                created_before=query.end_id,
                statuses=query.statuses,
            )
            for merchant_id, live, query in questions
        ]

    async def read_timelines(
        questions: list[tuple[bytes, bytes, bool]],
    ) -> list[list[TimelineEvent] | None]:
        return [
            await read_timeline(runner, merchant_id, intent_id, live=live)
            for merchant_id, intent_id, live in questions
        ]

    lists: Lists = Coalescer("lists", list_pages, queue_max=limits.queue_max, batch_max=1)
    timelines: Timelines = Coalescer(
        "timelines", read_timelines, queue_max=limits.queue_max, batch_max=1
    )
    return PaymentIntents(
        intents=reads,
        creations=creations,
        lists=lists,
        timelines=timelines,
        ids=UUID7Source(now_us, secrets.token_bytes),
        now_us=now_us,
        expiry_us=settings.switch.intent_expiry_s * 1_000_000,
    )


def _balances(settings: Settings, runner: Runner) -> Balances:
    async def read(questions: list[tuple[bytes, bool]]) -> list[Sums]:
        return [
            await merchant_balance(runner, merchant_id, live=live)
            for merchant_id, live in questions
        ]

    lookup: BalanceLookup = Coalescer(
        "balances", read, queue_max=settings.api.queue_max, batch_max=1
    )
    return Balances(lookup)


def _endpoints(
    payment_intents: PaymentIntents, transactions: Transactions, balances: Balances, pages: Pages
) -> dict[str, Endpoint]:
    return {
        routes.CREATE_INTENT.name: payment_intents.create_intent,
        routes.LIST_INTENTS.name: payment_intents.list_intents,
        routes.GET_INTENT.name: payment_intents.get_intent,
        routes.CREATE_TRANSACTION.name: transactions.create_transaction,
        routes.GET_TIMELINE.name: payment_intents.read_timeline,
        routes.GET_BALANCE.name: balances.read_balance,
        routes.GET_KEYS.name: pages.keys,
        routes.GET_OPENAPI.name: pages.openapi,
        routes.GET_DOCS.name: pages.docs,
        routes.GET_ERROR_DOCS.name: pages.error_docs,
        routes.GET_HEALTH.name: pages.health,
        routes.GET_READINESS.name: pages.ready,
    }
