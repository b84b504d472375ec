"""A whole api on real sockets for tests: real Postgres, a stand-in for the HSM and the switch.

The stand-ins are at the process boundary: mux servers that speak the real wire. The client signs
by its own few lines, so that it cannot share a mistake with the server.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import trio
from attrs import define, field

from api.assembly import Application, Outside, assemble
from api.limits.shared import load_script
from api.shard import ShardPeers
from chassis.mux import MuxClient, MuxPeer, MuxServer, dial_unix
from chassis.redis import RedisScript
from chassis.settings import API, HSM, MuxLimits, Settings
from chassis.settings.limits import Limits, Velocity
from chassis.settings.redis import Redis, parse_address
from hsm_sim import wire as hsm_wire
from ledger.connection import Connection
from ledger.ids import UUID7Source
from ledger.merchants import NewMerchant, add_api_key, create_merchant, secret_context
from ledger.pool import Pool
from switch.wire import (
    Charge,
    Done,
    Operate,
    Refused,
    SwitchReply,
    SwitchRequest,
    TransactionState,
)
from tests.support.http import Response, WireClient, until
from tests.support.postgres import LedgerDSN

HOST = "shop.test:8080"
SEALED = b"sealed:"  # the stand-in's way to seal: it only checks the context
QUICK = MuxLimits(reconnect_min_s=0.005, reconnect_max_s=0.02)
IDS = UUID7Source(lambda: int(datetime.now(UTC).timestamp() * 1e6), os.urandom)
CAPTURE_KEY = hsm_wire.CaptureKey(
    kid="3vNMky2BYyw", suite=1, public_key=bytes(32), state="active", not_after=1_800_000_000
)


def approved(request: SwitchRequest, **changes: Any) -> Done:
    """The transaction that was asked for as it would stand after an approval."""
    final_capture = None
    if isinstance(request, Operate) and request.type == "capture":
        final_capture = request.final_capture
    fields: dict[str, Any] = {
        "transaction_id": IDS.next(),
        "intent_id": request.intent_id,
        "type": request.operation if isinstance(request, Charge) else request.type,
        "status": "succeeded",
        "amount_minor": 2499,
        "currency": "usd",
        "response_code": "00",
        "approval_code": "A1B2C3",
        "decline_code": "",
        "advice": "",
        "card_brand": "visa",
        "card_last4": "4242",
        "card_exp_month": 12,
        "card_exp_year": 2030,
        "created_at": 1_767_323_045_000_000,
        "updated_at": 1_767_323_045_250_000,
        "final_capture": final_capture,
    }
    return Done(TransactionState(**fields | changes))


@define
class SwitchStandIn:
    """Answers as it is told; `decide` may give None to leave a request unanswered."""

    decide: Callable[[SwitchRequest], SwitchReply | None] = approved
    requests: list[SwitchRequest] = field(factory=list)

    @property
    def charges(self) -> list[Charge]:
        """The requests that brought a card."""
        return [request for request in self.requests if isinstance(request, Charge)]

    def on_batch(self, peer: MuxPeer[SwitchReply], batch: list[tuple[int, SwitchRequest]]) -> None:
        """Take a batch."""
        for request_id, request in batch:
            self.requests.append(request)
            reply = self.decide(request)
            if reply is not None:
                peer.reply(request_id, reply)


@define
class HSMStandIn:
    """Unseals what `Merchant.sealed` sealed, lists one key, and counts."""

    unsealed: int = 0
    listed: int = 0
    silent: bool = False

    def on_batch(
        self, peer: MuxPeer[hsm_wire.HSMReply], batch: list[tuple[int, hsm_wire.HSMRequest]]
    ) -> None:
        """Take a batch."""
        for request_id, request in batch:
            if self.silent:
                continue
            if isinstance(request, hsm_wire.UnsealSecrets):
                self.unsealed += len(request.blobs)
                secrets = [
                    blob.removeprefix(SEALED + context)
                    if blob.startswith(SEALED + context)
                    else b""
                    for blob, context in zip(request.blobs, request.contexts, strict=True)
                ]
                peer.reply(request_id, hsm_wire.SecretsUnsealed(secrets))
            elif isinstance(request, hsm_wire.SealSecrets):
                blobs = [
                    SEALED + context + secret
                    for secret, context in zip(request.secrets, request.contexts, strict=True)
                ]
                peer.reply(request_id, hsm_wire.SecretsSealed(blobs))
            elif isinstance(request, hsm_wire.ListKeys):
                self.listed += 1
                peer.reply(request_id, hsm_wire.KeysListed([CAPTURE_KEY]))
            else:
                peer.reply(request_id, hsm_wire.Refused("not_permitted"))


@define
class Merchant:
    """A merchant and how it signs."""

    merchant_id: bytes
    publishable_key: str
    secret_key: str

    def request(
        self,
        method: str,
        target: str,
        body: bytes | dict[str, Any] = b"",
        **changes: str | None,
    ) -> bytes:
        """A signed request as bytes; `changes` set headers after signing, None leaves one out."""
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        headers: dict[str, str | None] = {
            "Host": HOST,
            "Authorization": f"Bearer {self.publishable_key}",
            "X-Request-Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "X-Request-Nonce": os.urandom(12).hex(),
        }
        if method == "POST":
            headers |= {"Content-Type": "application/json", "Idempotency-Key": os.urandom(8).hex()}
        signed = {name.replace("_", "-"): value for name, value in changes.items()}
        early = {name[7:]: value for name, value in signed.items() if name.startswith("signed-")}
        headers |= {_canonical_name(headers, name): value for name, value in early.items()}
        headers["X-Signature"] = "sha256=" + self.sign(method, target, headers, content)
        late = {name: value for name, value in signed.items() if not name.startswith("signed-")}
        headers |= {_canonical_name(headers, name): value for name, value in late.items()}
        if content:
            headers["Content-Length"] = str(len(content))
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode() + content

    def sign(self, method: str, target: str, headers: dict[str, str | None], content: bytes) -> str:
        """The ten lines of contract 2, signed."""
        lines = [
            "turnout-v1",
            self.publishable_key,
            headers["X-Request-Timestamp"] or "",
            headers["X-Request-Nonce"] or "",
            method,
            (headers["Host"] or "").lower(),
            target,
            headers.get("Content-Type") or "",
            headers.get("Idempotency-Key") or "",
            hashlib.sha256(content).hexdigest(),
        ]
        return hmac.new(
            self.secret_key.encode(), "\n".join(lines).encode(), hashlib.sha256
        ).hexdigest()

    def sealed(self) -> bytes:
        """The secret key as the stand-in of the HSM opens it."""
        return SEALED + secret_context(self.publishable_key) + self.secret_key.encode()


def _canonical_name(headers: dict[str, str | None], name: str) -> str:
    return next((known for known in headers if known.lower() == name.lower()), name)


@define
class RunningAPI:
    """An api and what stands around it."""

    application: Application
    port: int
    dsn: LedgerDSN
    switch: SwitchStandIn
    hsm: HSMStandIn
    superuser: Connection
    draining: trio.Event
    shop: Merchant
    cut_switch: Callable[[], None]
    switches: list[SwitchStandIn] = field(factory=list)  # of each shard
    clients: list[trio.SocketStream] = field(factory=list)

    async def connect(self) -> WireClient:
        """Open a connection."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.clients.append(stream)
        return WireClient(stream)

    async def ask(self, request: bytes) -> Response:
        """Send one request on a connection of its own."""
        client = await self.connect()
        await client.send(request)
        return await client.receive(body=not request.startswith(b"HEAD"))

    async def create(self, merchant: Merchant | None = None, **members: Any) -> dict[str, Any]:
        """Create an intent; its JSON."""
        body = {"amountInCents": 2499, "currency": "usd"} | members
        request = (merchant or self.shop).request("POST", "/payment-intents", body)
        response = await self.ask(request)
        assert response.status == 201, response
        created: dict[str, Any] = json.loads(response.body)
        return created

    async def add_merchant(
        self, *, live: bool = False, with_key: bool = True, merchant_id: bytes = b""
    ) -> Merchant:
        """A merchant with one pair of keys, or without the one that is returned."""
        mode = "live" if live else "test"
        merchant = Merchant(
            merchant_id or IDS.next(),
            f"pk_{mode}_{os.urandom(8).hex()}",
            f"sk_{mode}_{os.urandom(16).hex()}",
        )
        await create_merchant(
            self.superuser,
            NewMerchant(
                merchant_id=merchant.merchant_id,
                name="Shop",
                country="840",
                settlement_currency="usd",
                mcc="5999",
                terminal_id="T1",
                card_acceptor_id="SHOP1",
                name_location="SHOP",
            ),
        )
        if with_key:
            await self.add_key(merchant, live=live)
        return merchant

    async def add_key(
        self, merchant: Merchant, *, live: bool = False, sealed: bytes | None = None
    ) -> None:
        """Give a merchant the pair that it carries, or one with another sealed secret."""
        await add_api_key(
            self.superuser,
            merchant.merchant_id,
            live=live,
            publishable_key=merchant.publishable_key,
            sealed_secret=merchant.sealed() if sealed is None else sealed,
        )


@asynccontextmanager
async def running_api(
    dsn: LedgerDSN,
    *,
    limits: API | None = None,
    rates: Limits | None = None,
    velocity: Velocity | None = None,
    redis: Redis | None = None,
    mode: Literal["test", "live"] = "test",
    hsm_deadline_s: float = 2.0,
    further_shards: Sequence[LedgerDSN] = (),
) -> AsyncIterator[RunningAPI]:
    """Run an api in this Trio loop until the block ends; one shard, unless there are further."""
    settings = Settings(
        mode=mode,
        api=limits or API(nonce_slots=4_096),
        limits=rates or Limits(),
        velocity=velocity or Velocity(),
        redis=redis or Redis(),
        hsm=HSM(open_deadline_s=hsm_deadline_s),
        mux=QUICK,
    )
    draining = trio.Event()
    hsm = HSMStandIn()
    switches = [SwitchStandIn() for _ in (dsn, *further_shards)]
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 30
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        superuser = await Connection.open(dsn.superuser, connect_timeout_s=10)
        stack.push_async_callback(superuser.aclose)
        pools, joined = [], []
        for number, (of, switch) in enumerate(zip((dsn, *further_shards), switches, strict=True)):
            pools.append(Pool(of("turnout_api"), 2, settings=settings.ledger))
            await nursery.start(pools[-1].serve)
            path = folder / f"switch-{number}"
            joined.append(await _join(nursery, path, SwitchRequest, SwitchReply, switch.on_batch))
        switch_client, switch_scope = joined[0]
        hsm_client, _ = await _join(
            nursery, folder / "hsm", hsm_wire.HSMRequest, hsm_wire.HSMReply, hsm.on_batch
        )
        shared = None
        if redis is not None:
            shared = RedisScript(parse_address(redis.url), load_script(), redis)
        application = assemble(
            settings,
            Outside(
                shards=[
                    ShardPeers(runner=pool, switches=[client], is_there=pool.check)
                    for pool, (client, _) in zip(pools, joined, strict=True)
                ],
                hsm=[hsm_client],
                redis=shared,
                readiness=lambda: {"ledger": pools[0].check(), "switch": switch_client.connected},
            ),
            started_s=datetime.now(UTC).timestamp() - 60,
        )
        application.start(nursery)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        await nursery.start(application.server.serve, [listener], draining)
        running = RunningAPI(
            application,
            listener.getsockname()[1],
            dsn,
            switches[0],
            hsm,
            superuser,
            draining,
            Merchant(b"", "", ""),
            switch_scope.cancel,
            switches,
        )
        running.shop = await running.add_merchant(live=mode == "live")
        try:
            yield running
        finally:
            for client in running.clients:
                client.socket.close()
            draining.set()
            with trio.CancelScope(shield=True), trio.move_on_after(2):
                await until(lambda: not application.server.open_connections)
            nursery.cancel_scope.cancel()


async def _join(
    nursery: trio.Nursery,
    path: Path,
    request_type: Any,
    reply_type: Any,
    on_batch: Callable[[MuxPeer[Any], list[tuple[int, Any]]], None],
) -> tuple[MuxClient[Any, Any], trio.CancelScope]:
    """A mux server and a client that is connected to it; the scope ends the server."""
    server: MuxServer[Any, Any] = MuxServer(
        request_type=request_type, reply_type=reply_type, limits=QUICK, on_batch=on_batch
    )
    client: MuxClient[Any, Any] = MuxClient(
        request_type=request_type, reply_type=reply_type, limits=QUICK, name=path.name
    )
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    scope = trio.CancelScope()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        with listener, scope:
            await server.serve(listener, allowed_uids=None, task_status=task_status)

    await nursery.start(serve)
    await nursery.start(client.run, partial(dial_unix, str(path)))
    return client, scope


def refuse(code: str, retry_after_s: int = 0) -> Callable[[SwitchRequest], SwitchReply]:
    """A switch that refuses everything with one code."""
    return lambda _request: Refused(code, retry_after_s)


SEALED_CHARGE = {"type": "charge", "card": {"ciphertext": "v1.3vNMky2BYyw.AAAA"}}


async def charge(api: RunningAPI, intent: str, **changes: str | None) -> Response:
    """Charge an intent of the shop."""
    target = f"/payment-intents/{intent}/transactions"
    return await api.ask(api.shop.request("POST", target, SEALED_CHARGE, **changes))


def open_get(target: str) -> bytes:
    """A request without authentication."""
    return f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def problem(response: Response) -> dict[str, Any]:
    """The problem document of an answer, which must be one."""
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(response.body)
    assert document["status"] == response.status
    assert document["type"] == f"/docs/errors/{document['code']}"
    assert document["requestId"] == response.headers["x-request-id"]
    return document
