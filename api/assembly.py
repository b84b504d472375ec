"""The parts of the api put together: what asks the ledger, the switch and the HSM, behind a gate.

Nothing here does I/O when it is built, and everything that does comes in from outside, so the
process, the tests and the benchmark build the same api.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import trio
from attrs import define

from api import routes, webhook_routes
from api.auth.verify import Verifier
from api.balance import Balances
from api.capture_keys import CaptureKeyDirectory
from api.checkout.endpoints import Checkout
from api.coalescing import Coalescer
from api.gate import Endpoint, Gate
from api.http.server import Server
from api.http.tls import server_context
from api.key_service import KeyService
from api.keys_elsewhere import KeysElsewhere
from api.limits.admission import NONCE_MARGIN_S
from api.limits.limiting import Limiting, make_limiting
from api.merchants import MerchantDirectory
from api.nonces import NonceTable
from api.pages import Pages
from api.payment_intents import PaymentIntents
from api.placing import Creating, Placement
from api.recording import RequestMetrics
from api.routes import ROUTES, Router
from api.routing import Routing
from api.shard import Shard, ShardPeers, make_shard
from api.transactions import Transactions
from api.webhooks.endpoints import Endpoints as WebhookEndpoints
from api.webhooks.errands import Errands, make_errands
from api.webhooks.log import WebhookLog
from chassis.clock import now_us
from chassis.mux import MuxClient
from chassis.redis import RedisScript
from chassis.settings import API, Settings
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.ids import UUID7Source

NONCE_KEY_BYTES: Final = 32


@define(kw_only=True)
class Outside:
    """What the api speaks to.

    Attributes:
        shards: the ledgers and their switches, in the order of their numbers. Merchants and their
            keys are read on the first.
        hsm: a client for each worker of the HSM.
        readiness: what `/readyz` shows.
        redis: where nonces and limits are kept with other api processes; None = in this one.
    """

    shards: list[ShardPeers]
    hsm: list[MuxClient[HSMRequest, HSMReply]]
    readiness: Callable[[], Mapping[str, bool]]
    redis: RedisScript | None = None


@define
class Application:
    """The api, ready to run.

    Attributes:
        server: serves HTTP.
        gate: what the server hands requests to.
        nonces: what was used.
        metrics: counts of requests.
        coalescers: every kind of query that is not of a shard.
        key_service: the HSM.
        shards: the ledgers and their switches.
        checkout: the hosted card fields.
        limiting: how often somebody may ask.
    """

    server: Server
    gate: Gate
    nonces: NonceTable
    metrics: RequestMetrics
    coalescers: list[Coalescer[Any, Any]]
    key_service: KeyService
    shards: tuple[Shard, ...]
    checkout: Checkout
    limiting: Limiting
    _capture_keys: CaptureKeyDirectory
    _errands: list[Errands]

    def start(self, nursery: trio.Nursery) -> None:
        """Start the tasks that ask; they end after `close`."""
        for coalescer in self.coalescers:
            nursery.start_soon(coalescer.run)
        for shard in self.shards:
            shard.start(nursery)
        for errands in self._errands:
            nursery.start_soon(errands.run)
        if (shared := self.limiting.shared) is not None:
            nursery.start_soon(shared.connect)
            nursery.start_soon(shared.run)
        nursery.start_soon(self._capture_keys.run)

    def close(self) -> None:
        """Ask nothing more; call when the last connection is gone."""
        for coalescer in self.coalescers:
            coalescer.close()
        for shard in self.shards:
            shard.close()
        for errands in self._errands:
            errands.close()
        if self.limiting.shared is not None:
            self.limiting.shared.close()
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
    limits, first = settings.api, outside.shards[0]
    key_service = KeyService(outside.hsm, deadline_s=settings.hsm.open_deadline_s)
    secrets_max = settings.hsm.batch_secrets_max
    merchants = MerchantDirectory(first.runner, key_service, limits, batch_secrets_max=secrets_max)
    capture_keys = CaptureKeyDirectory(
        key_service, keep_s=limits.keys_cache_s, queue_max=limits.queue_max
    )
    nonces = _nonces(limits, started_s)
    shards = tuple(
        make_shard(number, settings, peers) for number, peers in enumerate(outside.shards)
    )
    placement = Placement(first.runner, is_there=first.is_there, queue_max=limits.queue_max)
    routing = Routing(shards, placement)
    payment_intents = PaymentIntents(
        routing,
        Creating(shards, placement),
        now_us=now_us,
        expiry_us=settings.switch.intent_expiry_s * 1_000_000,
    )
    limiting = make_limiting(settings, nonces, outside.redis)
    live = settings.mode == "live"
    checkout = Checkout(merchants, live=live, secure=bool(limits.tls_certificate))
    errands = [make_errands(peers.runner, queue_max=limits.queue_max) for peers in outside.shards]
    gate = Gate(
        live=live,
        router=Router(ROUTES),
        endpoints=_endpoints(
            payment_intents,
            Transactions(routing, KeysElsewhere(shards, placement), limiting.velocity),
            Balances(routing),
            Pages(capture_keys, outside.readiness),
            checkout,
        )
        | _webhook_endpoints(settings, routing, key_service, errands),
        verifier=Verifier(window_s=limits.timestamp_window_s),
        merchants=merchants,
        limiting=limiting,
        read_intent=routing.read_intent,
    )
    metrics = RequestMetrics()
    return Application(
        server=_server(limits, gate, metrics),
        gate=gate,
        nonces=nonces,
        metrics=metrics,
        coalescers=[merchants.queries, placement.queries, errands[0]],
        errands=errands[1:],
        key_service=key_service,
        shards=shards,
        checkout=checkout,
        limiting=limiting,
        capture_keys=capture_keys,
    )


def _server(limits: API, gate: Gate, metrics: RequestMetrics) -> Server:
    secure = bool(limits.tls_certificate)
    context = server_context(limits.tls_certificate, limits.tls_key) if secure else None
    return Server(limits, gate.handle, finished=metrics.finished, context=context)


def _webhook_endpoints(
    settings: Settings, routing: Routing, keys: KeyService, errands: list[Errands]
) -> dict[str, Endpoint]:
    endpoints = WebhookEndpoints(
        errands=errands[0],
        keys=keys,
        limits=settings.webhooks,
        live=settings.mode == "live",
        ids=UUID7Source(now_us, secrets.token_bytes),
    )
    log = WebhookLog(routing, errands)
    return {
        webhook_routes.LIST_EVENTS.name: log.list_events,
        webhook_routes.CREATE_ENDPOINT.name: endpoints.create,
        webhook_routes.LIST_ENDPOINTS.name: endpoints.list,
        webhook_routes.GET_ENDPOINT.name: endpoints.get,
        webhook_routes.UPDATE_ENDPOINT.name: endpoints.update,
        webhook_routes.DELETE_ENDPOINT.name: endpoints.delete,
        webhook_routes.ROLL_SECRET.name: endpoints.roll_secret,
        webhook_routes.LIST_DELIVERIES.name: log.list_deliveries,
        webhook_routes.GET_DELIVERY.name: log.get_delivery,
        webhook_routes.REPLAY_DELIVERY.name: log.replay,
    }


def _nonces(limits: API, started_s: float) -> NonceTable:
    return NonceTable(
        limits.nonce_slots,
        retention_s=2 * limits.timestamp_window_s + NONCE_MARGIN_S,
        forgotten_until_s=int(started_s),
        now=time.monotonic(),
        key=secrets.token_bytes(NONCE_KEY_BYTES),
    )


def _endpoints(
    payment_intents: PaymentIntents,
    transactions: Transactions,
    balances: Balances,
    pages: Pages,
    checkout: Checkout,
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
        routes.GET_DECLINE_DOCS.name: pages.decline_docs,
        routes.GET_LOADER.name: checkout.loader,
        routes.GET_FIELDS.name: checkout.fields,
        routes.GET_CHECKOUT_INVENTORY.name: checkout.inventory,
        routes.GET_CHECKOUT_ASSET.name: checkout.asset,
        routes.TAKE_REPORTS.name: checkout.report,
        routes.GET_HEALTH.name: pages.health,
        routes.GET_READINESS.name: pages.ready,
    }
