"""What the switch keeps at hand and does on timers.

STAN blocks, acceptor data, expired intents, the months of the payment tables.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Never

import trio

from chassis.log import get_logger
from chassis.settings import Switch
from ledger.errors import LedgerError
from switch.carriers import Carrier
from switch.core.numbers import StanBlock

log = get_logger(__name__)
STAN_TICK_S = 0.1  # 1,000 STANs at 10,000 charges/s: a tenth of the block kept in reserve
PARTITIONS_S = 6 * 3_600.0  # months are made two ahead: many chances before one is needed
ACCEPTORS_S = 60.0  # how soon a merchant's changed acceptor data is used

ReserveBlock = Callable[[str, str], Awaitable[StanBlock]]  # network, acquirer id


async def reserve_first(carriers: Mapping[str, Carrier], reserve: ReserveBlock) -> None:
    """Give every network a first block, before anything is admitted."""
    for network, carrier in carriers.items():
        carrier.stans.add(await reserve(network, carrier.settings.acquirer_id))


async def keep_stans(
    carriers: Mapping[str, Carrier],
    reserve: ReserveBlock,
    settings: Switch,
    now_us: Callable[[], int],
) -> Never:
    """Reserve the next block of whoever runs low; one task for all networks."""
    while True:
        await trio.sleep(STAN_TICK_S)
        for network, carrier in carriers.items():
            if carrier.stans.usable(now_us() // 1_000_000) >= settings.stan_block_count:
                continue
            try:
                carrier.stans.add(await reserve(network, carrier.settings.acquirer_id))
            except LedgerError as error:
                log.warning("stan_block_not_reserved", network=network, error=type(error).__name__)


async def refresh_acceptors(forget: Callable[[], None]) -> Never:
    """Have acceptor data loaded anew every minute."""
    while True:
        await trio.sleep(ACCEPTORS_S)
        forget()


async def sweep_expired(sweep: Callable[[int], Awaitable[int]], settings: Switch) -> Never:
    """Cancel created and failed intents whose time is over, in bounded batches."""
    while True:
        await trio.sleep(settings.sweep_interval_s)
        try:
            swept = settings.sweep_batch_max
            while swept >= settings.sweep_batch_max:
                swept = await sweep(settings.sweep_batch_max)
        except LedgerError as error:
            log.warning("sweep_failed", error=type(error).__name__)


async def keep_partitions(
    ensure: Callable[[], Awaitable[int]], strays: Callable[[], Awaitable[list[str]]]
) -> Never:
    """Make the months to come before they are needed; raise the alarm for rows outside any month.

    The first round runs at once: a switch may start after a long pause.
    """
    while True:
        try:
            if made := await ensure():
                log.info("partitions_made", tables=made)
            if tables := await strays():
                log.critical("rows_outside_partitions", tables=tables)
        except LedgerError as error:
            log.warning("partitions_not_made", error=type(error).__name__)
        await trio.sleep(PARTITIONS_S)
