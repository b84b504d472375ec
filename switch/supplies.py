"""What the switch keeps at hand and does on timers.

STAN blocks, certificates, acceptor data, expired intents, the months of the payment tables.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Never

import trio

from chassis.log import get_logger
from chassis.settings import Switch
from chassis.tls import TLSFilesError
from ledger.errors import LedgerError
from switch.carriers import Carrier
from switch.core.numbers import StanBlock

log = get_logger(__name__)
STAN_TICK_S = 0.1  # 1,000 STANs at 10,000 charges/s: a tenth of the block kept in reserve
PARTITIONS_S = 6 * 3_600.0  # months are made two ahead: many chances before one is needed
STAN_AHEAD_S = 10  # of the minute a block may be used: the ledger may be away for as long
CERTIFICATE_WARN_DAYS = 7  # then daily: enough to have another one issued
ACCEPTORS_S = 60.0  # how soon a merchant's changed acceptor data is used

ReserveBlock = Callable[[str, str, int], Awaitable[StanBlock]]  # network, acquirer id, from when


async def reserve_first(
    carriers: Mapping[str, Carrier], reserve: ReserveBlock, now_us: Callable[[], int]
) -> None:
    """Give every network a first block, before anything is admitted."""
    for network, carrier in carriers.items():
        await _reserve(network, carrier, reserve, now_us)


async def keep_stans(
    carriers: Mapping[str, Carrier],
    reserve: ReserveBlock,
    settings: Switch,
    now_us: Callable[[], int],
) -> Never:
    """Reserve the next block of whoever runs low; one task for all networks.

    A block counts only while it may still be used for some seconds: the next one must be at hand
    before the last one has reached its ceiling, however few numbers were drawn from it.
    """
    failing: set[str] = set()
    while True:
        await trio.sleep(STAN_TICK_S)
        for network, carrier in carriers.items():
            stans, now_s = carrier.stans, now_us() // 1_000_000
            stans.forget_expired(now_s)
            if stans.usable(now_s, ahead_s=STAN_AHEAD_S) >= settings.stan_block_count:
                continue
            try:
                await _reserve(network, carrier, reserve, now_us)
            except LedgerError as error:
                if network not in failing:
                    failing.add(network)
                    name = type(error).__name__
                    log.warning("stan_block_not_reserved", network=network, error=name)
            else:
                if network in failing:
                    failing.remove(network)
                    log.info("stan_block_reserved", network=network)


async def _reserve(
    network: str, carrier: Carrier, reserve: ReserveBlock, now_us: Callable[[], int]
) -> None:
    """Reserve a block from now on, or from the last second used where the clock stepped back.

    DE 7 stays at that second until the clock has caught up; a block reserved for earlier seconds
    could not be used.
    """
    from_s = max(now_us() // 1_000_000, carrier.stans.last_s)
    carrier.stans.add(await reserve(network, carrier.settings.acquirer_id, from_s))


async def keep_credentials(
    carriers: Mapping[str, Carrier], settings: Switch, now_us: Callable[[], int]
) -> Never:
    """Use certificates and keys of links from files that were replaced, without a restart.

    New connections are made with the new files, and old ones end one by one behind them. A fault
    is told of when it is still there at the second look: files are replaced one after the other.
    """
    failed: dict[str, str] = {}
    told: set[str] = set()
    warned_days: dict[str, int] = {}
    while True:
        await trio.sleep(settings.certificates_check_s)
        for network, carrier in carriers.items():
            credentials = carrier.credentials
            if credentials is None:
                continue
            try:
                if credentials.refresh():
                    log.info("certificate_loaded", network=network)
                    carrier.group.renew()
            except TLSFilesError as error:
                if failed.get(network) == str(error) and network not in told:
                    told.add(network)
                    log.error("certificate_not_loaded", network=network, error=str(error))
                failed[network] = str(error)
            else:
                failed.pop(network, None)
                told.discard(network)
            days = (credentials.expires_at_s - now_us() // 1_000_000) // 86_400
            if days < CERTIFICATE_WARN_DAYS and warned_days.get(network) != days:
                warned_days[network] = days
                log.warning("certificate_expires_soon", network=network, days=days)


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
            if tables := await strays():  # first: they keep their own month from being made
                log.critical("rows_outside_partitions", tables=tables)
            if made := await ensure():
                log.info("partitions_made", tables=made)
        except LedgerError as error:
            log.warning("partitions_not_made", error=type(error).__name__)
        await trio.sleep(PARTITIONS_S)
