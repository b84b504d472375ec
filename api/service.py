"""The api process: sessions to Postgres, the mux to switch and HSM, HTTP in front.

Of every shard it has a pool of sessions, clients of its switches and two watches of its own; what
belongs to shard 0 has no mark, what belongs to shard k ends in `@k`.

Start: nonces are remembered from the first full second on, and only then are connections
accepted, so that no request of an earlier process can be replayed. Stop: the HTTP server drains,
and since the supervisor stops the api before the switch, what was asked is still answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any

import trio

from api.assembly import Outside, assemble
from api.limits.shared import load_script
from api.metrics import register
from api.reading import open_reader, register_reader
from api.shard import Shard, ShardPeers
from chassis.clock import now_s
from chassis.mux import MuxClient, dial_unix
from chassis.redis import RedisScript
from chassis.service import Service
from chassis.settings import settings_of_shard
from chassis.settings.redis import parse_address
from chassis.shard_names import shard_directory, unit_key
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.pool import Pool
from ledger.relay.shedding import PinnedWAL
from ledger.replica import FreshReader
from ledger.storage import watched_storage
from switch.wire import SwitchReply, SwitchRequest


async def serve(service: Service) -> None:
    """Run the api until asked to drain."""
    settings = service.settings
    started_s = now_s()
    async with trio.open_nursery() as background:
        pools = [
            Pool(
                service.secrets[unit_key("database_dsn", number)],
                settings.api.database_sessions,
                settings=settings.ledger,
                patient=number > 0,  # a shard that is away keeps nobody else waiting
            )
            for number in range(count_shards(service.endpoints))
        ]
        for pool in pools:
            await background.start(pool.serve)
        hsm: list[MuxClient[HSMRequest, HSMReply]] = [
            _dial(background, service, "hsm", path, HSMRequest, HSMReply)
            for path in service.endpoints["hsm"]
        ]
        shards = [
            ShardPeers(
                runner=pool,
                switches=_dial_switches(background, service, number),
                is_there=pool.check,
                reader=_reader(background, service, number, pool),
            )
            for number, pool in enumerate(pools)
        ]
        outside = Outside(
            shards=shards,
            hsm=hsm,
            readiness=service.readiness,
            redis=_redis(service),
        )
        application = assemble(settings, outside, started_s=started_s)
        register(service.metrics, application)
        service.checks["hsm"] = lambda: application.key_service.connected
        service.checks["clock"] = lambda: now_s() >= application.nonces.forgotten_until_s
        for shard, pool in zip(application.shards, pools, strict=True):
            _watch(background, service, shard, pool)
        application.start(background)
        # At most a second, also if the clock was set back meanwhile.
        await trio.sleep(min(1.0, max(0.0, math.floor(started_s) + 1 - now_s())))
        async with trio.open_nursery() as serving:
            await serving.start(
                application.server.serve, [service.listeners["http"]], service.draining
            )
            service.ready()
        application.close()
        background.cancel_scope.cancel(reason="the last connection is gone")


def count_shards(endpoints: Mapping[str, list[str]]) -> int:
    """How many shards have switches to speak to."""
    numbers = count()
    return next(number for number in numbers if unit_key("switch", number) not in endpoints)


def _redis(service: Service) -> RedisScript | None:
    """Where nonces and limits are shared, if they are."""
    url = service.secrets.get("redis_url")
    if url is None:
        return None
    redis = RedisScript(parse_address(url), load_script(), service.settings.redis)
    service.checks["redis"] = lambda: redis.connected
    service.metrics.watch("redis", redis)
    return redis


def _watch(background: trio.Nursery, service: Service, shard: Shard, pool: Pool) -> None:
    """Watch what a shard's intents wait for: its database, its switches, disk and stream."""
    number, settings = shard.number, settings_of_shard(service.settings, shard.number)
    storage = watched_storage(shard_directory(service.data_dir, number), settings.ledger)
    pinned = PinnedWAL(pool, settings.relay)
    service.checks[unit_key("ledger", number)] = pool.check
    service.checks[unit_key("switch", number)] = lambda: shard.charging.connected
    service.checks[unit_key("storage", number)] = lambda: not storage.scarce
    service.checks[unit_key("stream", number)] = lambda: not pinned.over
    background.start_soon(storage.watch, shard.heed_storage)
    background.start_soon(pinned.watch, shard.heed_stream)


def _reader(
    background: trio.Nursery, service: Service, number: int, pool: Pool
) -> FreshReader | None:
    """What reads on a shard's replica, if it has one."""
    dsn = service.secrets.get(unit_key("replica_dsn", number))
    if dsn is None:
        return None
    reader = open_reader(background, dsn, pool, service.settings)
    register_reader(service.metrics, reader, str(number))
    return reader


def _dial_switches(
    background: trio.Nursery, service: Service, number: int
) -> list[MuxClient[SwitchRequest, SwitchReply]]:
    return [
        _dial(background, service, "switch", path, SwitchRequest, SwitchReply)
        for path in service.endpoints[unit_key("switch", number)]
    ]


def _dial(
    background: trio.Nursery,
    service: Service,
    name: str,
    path: str,
    request_type: Any,
    reply_type: Any,
) -> MuxClient[Any, Any]:
    """Start a client of a peer's Unix socket; it dials until it succeeds, and again when cut."""
    client: MuxClient[Any, Any] = MuxClient(
        request_type=request_type, reply_type=reply_type, limits=service.settings.mux, name=name
    )
    uid = service.allowed_uids.get(name)
    allowed_uids = None if uid is None else {uid}
    background.start_soon(client.run, partial(dial_unix, path, allowed_uids=allowed_uids))
    return client
