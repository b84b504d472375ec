"""Created and failed intents end as canceled when their time is over."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.pgtypes import int8_, timestamptz_
from ledger.statements import QUERIES, Runner

PUT_OFF_US: Final = 300_000_000  # five minutes: an operation in doubt takes longer than a deadline

_SWEEP: Final = QUERIES["sweep_expired"]


class Swept(Struct, gc=False, frozen=True):
    """One sweep, in intents. `finished + put_off` short of the limit: nothing else is due."""

    canceled: int
    finished: int  # timers over, those of the canceled included
    put_off: int  # busy: looked at again in five minutes


async def sweep_expired(runner: Runner, *, now_us: int, limit: int) -> Swept:
    """Cancel at most `limit` intents whose time was over at `now_us`. Role: turnout_switch.

    One guarded update: an intent that is being charged, or that somebody has locked, is left
    alone; a charge that comes later finds `intent_canceled`.

    Raises:
        RetryableError: or another DatabaseError; nothing was changed.
    """
    result = await runner.run(
        _SWEEP, [timestamptz_(now_us), int8_(limit), timestamptz_(now_us + PUT_OFF_US)]
    )
    return Swept(*result.rows()[0])
