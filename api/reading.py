"""Where the api reads payments: on a replica where there is one, fresh in any case.

`ledger.replica` has the theory. Only GETs and the look at a browser's client secret read through
it; what decides a payment is decided on the primary, by the switch.
"""

from __future__ import annotations

import trio

from chassis.metrics import Metrics
from chassis.settings import Settings
from ledger.replica import FreshReader, ReplicaSessions
from ledger.statements import Runner


def open_reader(
    background: trio.Nursery, dsn: str, primary: Runner, settings: Settings
) -> FreshReader:
    """Read on a replica from now on, as soon as it lets us in.

    Args:
        background: where the sessions are kept open.
        dsn: the replica, as turnout_api.
        primary: sessions of the same role on its primary.
        settings: the whole tree.
    """
    sessions = ReplicaSessions(dsn, settings.ledger, settings.replica)
    background.start_soon(sessions.serve)
    return FreshReader(primary, sessions, wait_s=settings.replica.wait_ms / 1_000)


def register_reader(metrics: Metrics, reader: FreshReader, shard: str) -> None:
    """Show at `/metrics` where a shard's reads were answered."""
    sessions = reader.sessions
    metrics.watch("replica", reader.counts, shard=shard)
    metrics.gauge(
        "replica_sessions_total", "open sessions", lambda: sessions.open_count, shard=shard
    )
