"""The place that the primary keeps for our replica: a physical replication slot.

WAL that the replica has not taken yet is kept for it, up to `ledger.max_slot_wal_keep_size`. Past
that the server gives the slot up (`wal_status` becomes `unreserved`, and with the next checkpoint
`lost`) and removes the WAL: its disk, and with it the payments, come before a replica, which can be
copied anew.

One thing may keep that checkpoint from its end: it ends the slot's walsender first, and a walsender
in the middle of a write to a replica that is stopped (SIGSTOP) does not end; seen with Postgres 18.
Meanwhile no WAL would be removed at all. So whoever runs the replica ends it, for good, as soon as
the slot is no longer held.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs

from ledger.connection import Connection
from ledger.pgtypes import text_
from ledger.queries import Query

SLOT: Final = "turnout_replica"

_READ: Final = Query(
    "replica_slot",
    "SELECT wal_status, active_pid FROM pg_replication_slots"
    " WHERE slot_name = $1::text AND slot_type = 'physical'",
)
_FLUSHED: Final = Query("flushed_lsn", "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint")
_REPLAYED: Final = Query("replayed_lsn", "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint")
_END_SENDER: Final = Query(
    "end_sender_of_replica",
    # Waits for it: a slot that is in use cannot be dropped.
    "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots"
    " WHERE slot_name = $1::text AND active_pid IS NOT NULL",
)
_DROP: Final = Query(
    "drop_slot_of_replica",
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
    " WHERE slot_name = $1::text AND slot_type = 'physical'",
)


@attrs.frozen
class SlotState:
    """What the primary says of the slot.

    Attributes:
        wal_status: `reserved`, `extended`, `unreserved` or `lost`; empty where there is no slot.
        in_use: Whether a replica is connected.
    """

    wal_status: str
    in_use: bool

    @property
    def holds(self) -> bool:
        """Whether all WAL since the replica's last word is there, and will be."""
        return self.wal_status in ("reserved", "extended")


async def read_slot(session: Connection) -> SlotState:
    """Ask for the slot's state; raises DatabaseError."""
    rows = (await session.run(_READ, [text_(SLOT)])).rows()
    if not rows:
        return SlotState("", in_use=False)
    [(wal_status, sender)] = rows
    return SlotState(wal_status or "lost", in_use=sender is not None)


async def read_flushed(primary: Connection) -> int:
    """How far the primary's WAL is on disk: it sends no more than that; raises DatabaseError."""
    return int((await primary.run(_FLUSHED)).column(0)[0])


async def read_replayed(replica: Connection) -> int:
    """How far a replica has replayed, 0 for nothing yet; raises DatabaseError."""
    return int((await replica.run(_REPLAYED)).column(0)[0] or 0)


async def drop_slot(session: Connection) -> None:
    """Have the slot gone, if there is one; raises DatabaseError."""
    await session.run(_END_SENDER, [text_(SLOT)])
    await session.run(_DROP, [text_(SLOT)])


@asynccontextmanager
async def short_session(dsn: str, *, connect_timeout_s: float) -> AsyncIterator[Connection]:
    """A session for a few statements; raises ConnectionLostError."""
    session = await Connection.open(dsn, connect_timeout_s=connect_timeout_s)
    try:
        yield session
    finally:
        await session.aclose()
