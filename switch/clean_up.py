"""What the switch clears away in quiet hours: keys and declines that nobody asks for any more.

Idempotency keys are kept for 30 days, declines for as long as the rules on trying again go by them.
Both are deleted in bounded batches with pauses between them, so that locks, WAL and vacuum stay
small beside the payments. Several switches may do this side by side: each deletes what the others
have left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Never

import trio
from attrs import frozen

from chassis.log import get_logger
from chassis.settings import Switch
from ledger.declines import FORGET_ROWS_MAX, forget_declines
from ledger.errors import LedgerError
from ledger.expiry import KEYS_A_BATCH_MAX, expire_idempotency_keys
from ledger.statements import Runner
from switch.core.decline_memory import KEPT_US

log = get_logger(__name__)
PAUSE_S: Final = 1.0  # between two batches: at most 10,000 rows a second


@frozen
class Chore:
    """Something to delete.

    Attributes:
        name: for log lines.
        batch_max: rows a batch.
        delete: deletes a batch; gives how many rows there were.
    """

    name: str
    batch_max: int
    delete: Callable[[int], Awaitable[int]]


def ledger_chores(runner: Runner, now_us: Callable[[], int]) -> list[Chore]:
    """What there is to delete in the ledger; the runner is of role turnout_switch."""

    async def forget(limit: int) -> int:
        return await forget_declines(runner, now_us() - KEPT_US, limit=limit)

    async def expire(limit: int) -> int:
        return await expire_idempotency_keys(runner, limit=limit)

    return [
        Chore("idempotency_keys", KEYS_A_BATCH_MAX, expire),
        Chore("declines", FORGET_ROWS_MAX, forget),
    ]


async def clean_up(chores: list[Chore], settings: Switch, now_us: Callable[[], int]) -> Never:
    """Do every chore in every quiet hour until nothing of it is left; one batch at a time."""
    while True:
        await trio.sleep(settings.clean_up_interval_s)
        if is_quiet(settings, now_us()):
            for chore in chores:
                await _do(chore, settings, now_us)


async def _do(chore: Chore, settings: Switch, now_us: Callable[[], int]) -> None:
    deleted = 0
    try:
        while is_quiet(settings, now_us()):
            count = await chore.delete(chore.batch_max)
            deleted += count
            if count < chore.batch_max:
                break
            await trio.sleep(PAUSE_S)
    except LedgerError as error:  # busy or away: there is another round
        log.warning("clean_up_failed", chore=chore.name, error=type(error).__name__)
    if deleted:
        log.info("cleaned_up", chore=chore.name, rows=deleted)


def is_quiet(settings: Switch, now_us: int) -> bool:
    """Whether it is one of the hours in which little is paid; from and until may span midnight."""
    hour = datetime.fromtimestamp(now_us / 1_000_000, tz=UTC).hour
    first, end = settings.clean_up_from_hour, settings.clean_up_until_hour
    if first < end:
        return first <= hour < end
    return hour >= first or hour < end
