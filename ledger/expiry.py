"""What ends when its time is over: intents, authorizations, idempotency keys."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.pgtypes import int4_, int8_, timestamptz_
from ledger.statements import QUERIES, Runner

PUT_OFF_US: Final = 300_000_000  # five minutes: an operation in doubt takes longer than a deadline

KEYS_A_BATCH_MAX: Final = 10_000  # what one statement deletes in well under a second

_SWEEP: Final = QUERIES["sweep_expired"]
_EXPIRE_KEYS: Final = QUERIES["expire_idempotency_keys"]


class Swept(Struct, gc=False, frozen=True):
    """One sweep, in intents. `finished + put_off` short of the limit: nothing else is due."""

    canceled: int
    finished: int  # timers over, those of the canceled included
    put_off: int  # busy or lapsed: looked at again in five minutes
    lapsed: list[bytes] = []  # authorizations past their capture time: cancel each at its network


async def sweep_expired(runner: Runner, *, now_us: int, limit: int) -> Swept:
    """Cancel at most `limit` intents whose time was over at `now_us`. Role: turnout_switch.

    One guarded update: an intent that is being charged, or that somebody has locked, is left
    alone; a charge that comes later finds `intent_canceled`. Authorizations that have lapsed are
    named only: canceling one takes a message. They are named again every five minutes until then.

    Raises:
        RetryableError: or another DatabaseError; nothing was changed.
    """
    result = await runner.run(
        _SWEEP, [timestamptz_(now_us), int8_(limit), timestamptz_(now_us + PUT_OFF_US)]
    )
    return Swept(*result.rows()[0])


async def expire_idempotency_keys(runner: Runner, *, limit: int = KEYS_A_BATCH_MAX) -> int:
    """Forget keys that are older than 30 days; gives how many. Role: turnout_switch.

    At most `limit`, so that locks and WAL stay small: repeat until fewer come back, off peak.

    Raises:
        RetryableError: or another DatabaseError; nothing was changed.
    """
    result = await runner.run(_EXPIRE_KEYS, [int4_(limit)])
    expired: int = result.column(0)[0]
    return expired
