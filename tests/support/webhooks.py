"""Webhooks without the processes between: a ledger, its stream, what tells of it, and who hears.

Run as a program, with a DSN, a folder and a page's size, it makes deliveries of the stream there
until it is killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio
from attrs import define, field

from api.key_service import KeyService
from api.webhook_resources import API_VERSION
from api.webhooks.consumer import WebhookConsumer
from api.webhooks.dialing import Dialer, Resolve, system_resolver, tls_context
from api.webhooks.keyring import Keyring
from api.webhooks.posting import Poster
from api.webhooks.sender import Sender
from chassis.clock import now_us
from chassis.settings.webhooks import Webhooks
from ledger.dsn import hot_settings
from ledger.ids import UUID7Source
from ledger.pool import Pool
from ledger.stream.backend import Batch
from ledger.stream.consumer import ConsumerRunner
from ledger.stream.cursors import begin_cursor
from ledger.stream.record import Mark, position_of
from ledger.webhooks.endpoints import NewEndpoint, create_endpoint, secret_context
from tests.support.capturing import begin_capture, captured, end_capture
from tests.support.ledger import LIMITS as LEDGER_LIMITS
from tests.support.ledger import LedgerHarness
from tests.support.posting import LIMITS, SLOT
from tests.support.stream import SegmentsBackend

ROLE = "turnout_webhooks"
SEALED = b"sealed:"
QUICK = Webhooks(poll_ms=2.0, idle_poll_s=0.01, endpoint_cache_s=0.0, dial_timeout_s=2.0)
TABLES = (
    "webhook_tries",
    "webhook_queue",
    "webhook_deliveries",
    "merchant_events",
    "webhook_endpoints",
    "stream_parked",
    "stream_cursors",
)
MERCHANT_SQL = (
    "INSERT INTO merchants (id, name, country, settlement_currency, mcc, terminal_id,"
    " card_acceptor_id, name_location)"
    " VALUES ($1::uuid, 'Shop', '840', 'usd', '5999', '1', '1', 'Shop') ON CONFLICT DO NOTHING"
    " RETURNING id"
)


@define
class Heard:
    """One request that a receiver got."""

    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


@define
class Receiver:
    """An HTTP server that notes what it is sent.

    Attributes:
        port: on 127.0.0.1.
        heard: requests, in their order.
        answer: what it says to each; None says nothing and leaves the connection open.
    """

    port: int
    heard: list[Heard] = field(factory=list)
    answer: Callable[[Heard], bytes | None] = lambda _: ok()
    _connections: int = 0

    @property
    def url(self) -> str:
        """An address on it."""
        return f"http://127.0.0.1:{self.port}/hooks"

    async def serve_one(self, stream: trio.abc.Stream) -> None:
        """Take requests of one connection."""
        self._connections += 1
        number, data = self._connections, b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    if not (more := await stream.receive_some()):
                        return
                    data += bytes(more)
                head, data = data.split(b"\r\n\r\n", 1)
                first, *lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[:2])
                headers |= {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
                length = int(headers["content-length"])
                while len(data) < length:
                    data += bytes(await stream.receive_some())
                body, data = data[:length], data[length:]
                heard = Heard(first.split(" ")[1], headers, body, number)
                self.heard.append(heard)
                if (said := self.answer(heard)) is None:
                    await trio.sleep_forever()
                else:
                    await stream.send_all(said)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def until(self, count: int) -> None:
        """Wait until so many requests came."""
        with trio.fail_after(10):
            while len(self.heard) < count:
                await trio.sleep(0.002)


def ok(status: int = 200, body: bytes = b"", *headers: str) -> bytes:
    """An answer."""
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def receiving(*, ssl_context: object = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    async with trio.open_nursery() as nursery:
        if ssl_context is None:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listener.socket.getsockname()[1]
            receiver = Receiver(port)
            nursery.start_soon(trio.serve_listeners, receiver.serve_one, [listener])
        else:
            [secure] = await trio.open_ssl_over_tcp_listeners(
                0,
                ssl_context,  # type: ignore[arg-type]
                host="127.0.0.1",
                https_compatible=True,
            )
            port = secure.transport_listener.socket.getsockname()[1]  # type: ignore[attr-defined]
            receiver = Receiver(port)
            nursery.start_soon(partial(trio.serve_listeners, receiver.serve_one, [secure]))
        yield receiver
        nursery.cancel_scope.cancel()


class Opener(KeyService):
    """Opens what `seal` sealed; stands for the HSM."""

    def __init__(self) -> None:
        super().__init__([], deadline_s=1.0)
        self.opened = 0

    async def open(self, blobs: Sequence[bytes], contexts: Sequence[bytes]) -> list[bytes]:
        """The secrets."""
        await trio.lowlevel.checkpoint()
        self.opened += len(blobs)
        return [
            blob.removeprefix(SEALED + context) if blob.startswith(SEALED + context) else b""
            for blob, context in zip(blobs, contexts, strict=True)
        ]


@define
class Told:
    """What a ledger's merchants are told: `stream` what was committed, `tell`, then `sending`.

    Attributes:
        ledger: the ledger.
        backend: of the stream.
        pool: of role turnout_webhooks.
        limits: of the sender.
        keys: the HSM.
    """

    ledger: LedgerHarness
    backend: SegmentsBackend
    pool: Pool
    limits: Webhooks
    keys: Opener = field(factory=Opener)
    ids: UUID7Source = field(factory=lambda: UUID7Source(now_us, os.urandom))

    async def endpoint(
        self, url: str, *, types: Sequence[str] = (), merchant_id: bytes = b""
    ) -> tuple[bytes, bytes]:
        """Create an endpoint; its id and its key."""
        id_, key = self.ids.next(), os.urandom(32)
        await self.ledger.rows(MERCHANT_SQL, merchant_id or self.ledger.merchant_id)
        new = NewEndpoint(
            endpoint_id=id_,
            merchant_id=merchant_id or self.ledger.merchant_id,
            live=False,
            url=url,
            description="",
            event_types=types,
            api_version=API_VERSION,
            sealed_secret=SEALED + secret_context(id_) + key,
            key_digest=os.urandom(16),
            request_hash=os.urandom(16),
        )
        assert await create_endpoint(self.ledger.api, new, endpoints_max=1_000) is True
        return id_, key

    async def stream(self) -> None:
        """Append what was committed since the last time."""
        found = await captured(self.ledger)
        if not found:
            return
        descriptors = list({id_: one for _, known in found for id_, one in known.items()}.values())
        records = [data for data, _ in found]
        writer = self.backend.writer()
        await writer.open()
        mark = Mark(1, 1, position_of(records[-1]).commit_lsn + 1)
        await writer.append(Batch(records, descriptors, mark))
        await writer.aclose()

    async def tell(self, *, page_max: int = 1_000, consumer: WebhookConsumer | None = None) -> int:
        """Stream and take in all there is, as a process started anew; how many were parked."""
        await self.stream()
        limits = msgspec.structs.replace(LIMITS, consumer_records_max=page_max)
        async with self.backend.reader() as reader:
            runner = ConsumerRunner(
                consumer or consumer_of(self.pool), reader, self.pool, limits=limits
            )
            runner.figures.cursor = await begin_cursor(self.pool, "webhooks", 0, {0: 0})
            while await runner.step():
                pass
        return runner.figures.parked

    @asynccontextmanager
    async def sending(
        self, *, resolve: Resolve | None = None, draw: float = 0.0
    ) -> AsyncIterator[Sender]:
        """A sender at work; drained at the end."""
        sender = self.sender(self.limits, resolve=resolve, draw=draw)
        draining = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.run, draining)
            yield sender
            draining.set()

    def sender(
        self, limits: Webhooks, *, resolve: Resolve | None = None, draw: float = 0.0
    ) -> Sender:
        """A sender that does nothing yet."""
        keyring = Keyring(self.pool, self.keys, limits, live=False, batch_secrets_max=2)
        dialer = Dialer(resolve or system_resolver(limits), tls_context(limits.ca_file))
        poster = Poster(dialer, limits)
        return Sender(
            self.pool,
            self.pool,
            keyring,
            poster,
            limits=limits,
            now_us=now_us,
            draw=lambda: draw,
        )

    async def deliveries(self) -> list[tuple[object, ...]]:
        """Type, status and tries of every delivery, in the order made."""
        return await self.ledger.rows(
            "SELECT event_type, status, tries FROM webhook_deliveries ORDER BY id"
        )

    async def tries(self) -> list[tuple[object, ...]]:
        """Number, status code and reason of every try."""
        return await self.ledger.rows(
            "SELECT number, status_code, reason FROM webhook_tries ORDER BY delivery_id, number"
        )

    async def until(self, statuses: Collection[str]) -> None:
        """Wait until every delivery stands in one of these."""
        with trio.fail_after(10):
            while {status for _, status, _ in await self.deliveries()} - set(statuses):
                await trio.sleep(0.005)


def consumer_of(pool: Pool, *, directory: Pool | None = None, shard: int = 0) -> WebhookConsumer:
    """The consumer as the process makes it."""
    return WebhookConsumer(
        database=pool,
        directory=directory or pool,
        slot=SLOT,
        ids=UUID7Source(now_us, os.urandom, shard=shard),
        now_us=now_us,
        keep_us=10**12,
        planned=lambda: None,
    )


def pool_of(dsn: str, size: int = 3) -> Pool:
    """Sessions as the process has them."""
    role_settings = {**hot_settings(LEDGER_LIMITS), "synchronous_commit": "off"}
    return Pool(dsn, size, settings=LEDGER_LIMITS, role_settings=role_settings)


@asynccontextmanager
async def telling(
    ledger: LedgerHarness, folder: Path, limits: Webhooks = QUICK
) -> AsyncIterator[Told]:
    """Nothing streamed and nothing told yet."""
    for table in TABLES:
        await ledger.rows(f"DELETE FROM {table}")
    await begin_capture(ledger)
    pool = pool_of(ledger.dsn(ROLE))
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.serve)
            yield Told(ledger, SegmentsBackend(folder, LIMITS), pool, limits)
            nursery.cancel_scope.cancel()
    finally:
        await end_capture(ledger)


async def tell_until_killed(dsn: str, folder: Path, page_max: int) -> None:
    """Make deliveries in small pages, as the process does."""
    limits = msgspec.structs.replace(LIMITS, consumer_records_max=page_max)
    pool = pool_of(dsn, 1)
    async with trio.open_nursery() as nursery, SegmentsBackend(folder, limits).reader() as reader:
        await nursery.start(pool.serve)
        await ConsumerRunner(consumer_of(pool), reader, pool, limits=limits).run()


if __name__ == "__main__":
    trio.run(tell_until_killed, sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
