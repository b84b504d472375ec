"""The networks' carriers and what is looked after beside their links.

Certificates that are replaced, settlement dates that networks tell, totals of days that are over.
None of it is on the way of a payment; all of it runs from the start of the process to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import attrs
import trio

from chassis.metrics import Metrics
from chassis.service import Service
from chassis.settings import Switch
from ledger.exceptions import open_exceptions
from ledger.pool import Pool
from ledger.settlement_days import (
    begin_settlement_day,
    days_to_balance,
    note_balance,
    present_settlement_days,
)
from ledger.totals import network_totals
from switch import supplies
from switch.carriers import Carrier, make_carriers
from switch.hsm import AskHSM
from switch.link.events import LinkEvent
from switch.link.mac_keys import MacKeys
from switch.settlement_days import SettlementDays, months_and_days
from switch.totals import Books, Totals


@attrs.frozen
class Sessions:
    """What one process has to do with its networks.

    Attributes:
        carriers: by network; their links are run by whoever opened this.
    """

    carriers: dict[str, Carrier]
    _settings: Switch
    _days: SettlementDays
    _totals: Totals
    _now_us: Callable[[], int]

    async def run(self) -> None:
        """Look after it until canceled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                supplies.keep_credentials, self.carriers, self._settings, self._now_us
            )
            nursery.start_soon(self._days.run)
            nursery.start_soon(self._totals.run)


async def open_sessions(
    service: Service,
    pool: Pool,
    *,
    ask_hsm: AskHSM,
    on_events: Callable[[str], Callable[[list[LinkEvent]], None]],
    lease_holds: Callable[[], bool],
    now_us: Callable[[], int],
) -> Sessions:
    """Make the carriers, with what the ledger knows of their networks; raises as `make_carriers`.

    Raises:
        DatabaseError: the ledger could not be asked.
    """
    carriers: dict[str, Carrier] = {}
    totals = Totals(
        carriers, _books(pool), delay_s=service.settings.switch.totals_delay_s, now_us=now_us
    )
    days = SettlementDays(partial(begin_settlement_day, pool), totals.day_is_over, now_us)
    carriers |= make_carriers(
        service,
        on_events,
        now_us,
        lease_holds,
        settlement_dates=months_and_days(await present_settlement_days(pool)),
        on_cutover=days.told,
        ask_hsm=ask_hsm,
    )
    _register(service.metrics, carriers, totals)
    return Sessions(carriers, service.settings.switch, days, totals, now_us)


def _books(pool: Pool) -> Books:
    async def note(network: str, day: str, currency: str, in_balance: bool) -> None:  # noqa: FBT001
        await note_balance(pool, network, day, currency, in_balance=in_balance)

    return Books(
        days_to_balance=partial(days_to_balance, pool),
        network_totals=partial(network_totals, pool),
        note_balance=note,
        open_exceptions=partial(open_exceptions, pool),
    )


def _register(metrics: Metrics, carriers: Mapping[str, Carrier], totals: Totals) -> None:
    """Expose what is counted here as `turnout_switch_…`."""
    metrics.watch("totals", totals)
    for name, carrier in carriers.items():
        macs = carrier.group.authentication
        if macs is not None:
            metrics.watch("macs", macs.stage, network=name)
            metrics.watch("mac_keys", macs.keys, network=name)
            metrics.gauge(
                "mac_key_age_seconds",
                "How long the MAC key has been in use; 0 = there is none",
                partial(_age_s, macs.keys),
                network=name,
            )


def _age_s(keys: MacKeys) -> float:
    return keys.age_s
