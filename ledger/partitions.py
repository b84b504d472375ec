"""The months of the payment tables: made ahead of time, and the DEFAULT ones watched."""

from __future__ import annotations

from typing import Final

from ledger.pgtypes import int4_, timestamptz_
from ledger.statements import QUERIES, Runner

PARTITIONED: Final = (
    "payment_intents",
    "payment_intent_details",
    "transactions",
    "attempts",
    "outcomes",
    "postings",
)

_ENSURE: Final = QUERIES["ensure_partitions"]
_STRAY: Final = QUERIES["stray_rows"]


async def ensure_partitions(runner: Runner, *, now_us: int, months_ahead: int) -> int:
    """Make this month's partitions and those of `months_ahead` more; gives how many were missing.

    Role: turnout_switch or the owner. Safe to repeat and to run from several switches at once.

    Raises:
        RowError: a DEFAULT partition holds rows of a missing month (see `stray_rows`).
        RetryableError: a table is busy for longer than `lock_timeout`; try again later.
    """
    result = await runner.run(_ENSURE, [timestamptz_(now_us), int4_(months_ahead + 1)])
    made: int = result.column(0)[0]
    return made


async def stray_rows(runner: Runner) -> list[str]:
    """The tables whose DEFAULT partition holds rows: none, or something has to be repaired."""
    [found] = (await runner.run(_STRAY)).rows()
    return [table for table, stray in zip(PARTITIONED, found, strict=True) if stray]
