"""The api process: sessions to Postgres, the mux to switch and HSM, HTTP in front.

Start: nonces are remembered from the first full second on, and only then are connections
accepted, so that no request of an earlier process can be replayed. Stop: the HTTP server drains,
and since the supervisor stops the api before the switch, what was asked is still answered.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import trio

from api.assembly import Outside, assemble
from api.metrics import register
from chassis.clock import now_s
from chassis.mux import MuxClient, dial_unix
from chassis.service import Service
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.pool import Pool
from ledger.relay.shedding import PinnedWAL
from ledger.storage import watched_storage
from switch.wire import SwitchReply, SwitchRequest


async def serve(service: Service) -> None:
    """Run the api until asked to drain."""
    settings = service.settings
    started_s = now_s()
    pool = Pool(
        service.secrets["database_dsn"], settings.api.database_sessions, settings=settings.ledger
    )
    async with trio.open_nursery() as background:
        await background.start(pool.serve)
        hsm: list[MuxClient[HSMRequest, HSMReply]] = [
            _dial(background, service, "hsm", path, HSMRequest, HSMReply)
            for path in service.endpoints["hsm"]
        ]
        switches: list[MuxClient[SwitchRequest, SwitchReply]] = [
            _dial(background, service, "switch", path, SwitchRequest, SwitchReply)
            for path in service.endpoints["switch"]
        ]
        outside = Outside(runner=pool, hsm=hsm, switches=switches, readiness=service.readiness)
        application = assemble(settings, outside, started_s=started_s)
        register(service.metrics, application)
        service.checks["ledger"] = pool.check
        service.checks["hsm"] = lambda: application.key_service.connected
        service.checks["switch"] = lambda: application.charging.connected
        service.checks["clock"] = lambda: now_s() >= application.nonces.forgotten_until_s
        storage = watched_storage(service.data_dir, settings.ledger)
        service.checks["storage"] = lambda: not storage.scarce
        background.start_soon(storage.watch, application.heed_storage)
        pinned = PinnedWAL(pool, settings.relay)
        service.checks["stream"] = lambda: not pinned.over
        background.start_soon(pinned.watch, application.heed_stream)
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
