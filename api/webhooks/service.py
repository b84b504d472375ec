"""The process that tells merchants: `turnout serve webhooks`, one for each shard.

It makes events and deliveries of the shard's stream, and sends what is due. No payment waits for
it. What it writes is in one transaction with its place in the stream, so its sessions need not wait
for the disk: after a crash of the machine the stream is read again from where both are, and what
was sent before goes out again under the same id.

Endpoints stand on shard 0. Where that is away, nothing is told or sent on any shard; it is when it
comes back.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final

import trio

from api.key_service import KeyService
from api.webhooks.consumer import WebhookConsumer
from api.webhooks.dialing import Dialer, system_resolver, tls_context
from api.webhooks.keyring import Keyring
from api.webhooks.posting import Poster
from api.webhooks.sender import REASONS, Sender
from chassis.clock import now_us
from chassis.log import get_logger
from chassis.mux import MuxClient, dial_unix
from chassis.service import Service
from chassis.settings.webhooks import Webhooks
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.dsn import hot_settings
from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from ledger.ids import UUID7Source
from ledger.pool import Pool
from ledger.postings.booking import begin_again_where_replaced
from ledger.statements import Runner
from ledger.stream.consumer import ConsumerRunner
from ledger.stream.open import stream_reader
from ledger.webhooks.deliveries import forget
from ledger.webhooks.statuses import CONSUMER_GROUP

POOL_SIZE: Final = 3  # one makes deliveries, one claims them, one records
DIRECTORY_POOL_SIZE: Final = 2
JITTER_STEPS: Final = 1_000

_log = get_logger(__name__)


async def serve(service: Service) -> None:
    """Make events and send them until the service drains.

    Raises:
        ConsumerStoppedError, StreamError, DatabaseError: it cannot go on.
    """
    settings, limits = service.settings, service.settings.webhooks
    async with (
        stream_reader(settings, service.data_dir) as reader,
        trio.open_nursery() as background,
    ):
        database = await _pool(background, service, "database_dsn", POOL_SIZE)
        directory = database
        if "directory_dsn" in service.secrets:
            directory = await _pool(
                background, service, "directory_dsn", DIRECTORY_POOL_SIZE, patient=True
            )
        sender = _make_sender(background, service, database, directory)
        consumer = WebhookConsumer(
            database=database,
            directory=directory,
            slot=settings.relay.slot,
            ids=UUID7Source(now_us, secrets.token_bytes, shard=service.shard),
            now_us=now_us,
            keep_us=int(limits.keep_s * 1_000_000),
            planned=sender.wake,
        )
        await begin_again_where_replaced(reader, database, CONSUMER_GROUP)
        runner = ConsumerRunner(consumer, reader, database, limits=settings.stream)
        _register(service, runner, consumer, sender)
        service.ready()
        background.start_soon(partial(runner.run, pause_s=limits.batch_interval_ms / 1_000))
        background.start_soon(_forget, database, limits)
        _log.info("webhooks up")
        await sender.run(service.draining)
        background.cancel_scope.cancel(reason="webhooks have drained")


def session_settings(service: Service) -> Mapping[str, str]:
    """Run-time parameters of the sessions."""
    return {**hot_settings(service.settings.ledger), "synchronous_commit": "off"}


async def _pool(
    background: trio.Nursery, service: Service, secret: str, size: int, *, patient: bool = False
) -> Pool:
    pool = Pool(
        service.secrets[secret],
        size,
        settings=service.settings.ledger,
        role_settings=session_settings(service),
        patient=patient,
    )
    await background.start(pool.serve)
    return pool


def _make_sender(
    background: trio.Nursery, service: Service, database: Pool, directory: Pool
) -> Sender:
    settings, limits = service.settings, service.settings.webhooks
    keys = KeyService(
        [_dial(background, service, path) for path in service.endpoints["hsm"]],
        deadline_s=settings.hsm.open_deadline_s,
    )
    keyring = Keyring(
        directory,
        keys,
        limits,
        live=settings.mode == "live",
        batch_secrets_max=settings.hsm.batch_secrets_max,
    )
    dialer = Dialer(system_resolver(limits), tls_context(limits.ca_file))
    return Sender(
        database,
        directory,
        keyring,
        Poster(dialer, limits),
        limits=limits,
        now_us=now_us,
        draw=lambda: secrets.randbelow(JITTER_STEPS) / JITTER_STEPS,
    )


def _dial(background: trio.Nursery, service: Service, path: str) -> MuxClient[HSMRequest, HSMReply]:
    client: MuxClient[HSMRequest, HSMReply] = MuxClient(
        request_type=HSMRequest, reply_type=HSMReply, limits=service.settings.mux, name="hsm"
    )
    uid = service.allowed_uids.get("hsm")
    allowed_uids = None if uid is None else {uid}
    background.start_soon(client.run, partial(dial_unix, path, allowed_uids=allowed_uids))
    return client


async def _forget(database: Runner, limits: Webhooks) -> None:
    """Delete what is older than it is kept, a little at a time."""
    while True:
        try:
            before_us = now_us() - int(limits.keep_s * 1_000_000)
            await forget(
                database,
                before_us=before_us,
                events_before_us=before_us - int(limits.give_up_s * 1_000_000),
                limit=limits.forget_batch_max,
            )
        except (RetryableError, ConnectionLostError, PoolOverloadError) as error:
            _log.warning("old webhooks are not forgotten yet", why=str(error))
        await trio.sleep(limits.forget_interval_s)


def _register(
    service: Service, runner: ConsumerRunner, consumer: WebhookConsumer, sender: Sender
) -> None:
    metrics, figures = service.metrics, runner.figures
    metrics.counter("records_total", "Records of the stream gone past", lambda: figures.events)
    metrics.counter("parked_total", "Events put aside for people", lambda: figures.parked)
    metrics.counter("lost_total", "Records lost with the ledger", lambda: figures.lost)
    metrics.counter(
        "next_offset_total", "How far the stream is read", lambda: figures.cursor.get(0, 0)
    )
    metrics.counter(
        "events_total", "Events made, repeats included", lambda: consumer.events_planned_total
    )
    metrics.counter(
        "deliveries_total",
        "Deliveries made, repeats included",
        lambda: consumer.deliveries_planned_total,
    )
    metrics.counter("claimed_total", "Deliveries taken to be tried", lambda: sender.claimed_total)
    metrics.counter("delivered_total", "Tries answered 2xx", lambda: sender.delivered_total)
    for reason in REASONS:
        metrics.counter(
            "failed_total",
            "Tries that failed",
            partial(sender.failed.__getitem__, reason),
            reason=reason,
        )
    metrics.gauge(
        "in_flight_ratio",
        "Tries under way, of as many as may be",
        lambda: sender.in_flight / service.settings.webhooks.in_flight_max,
    )
    metrics.histogram(
        "first_delivery_seconds",
        "From commit to the answer, of first tries that were delivered",
        sender.first_seconds,
    )
