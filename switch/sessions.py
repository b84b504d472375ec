"""The networks' carriers and what is looked after beside their links.

Certificates that are replaced, settlement dates that networks tell. None of it is on the way of a
payment; all of it runs from the start of the process to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
import trio

from chassis.service import Service
from chassis.settings import Switch
from ledger.pool import Pool
from ledger.settlement_days import begin_settlement_day, present_settlement_days
from switch import supplies
from switch.carriers import Carrier, make_carriers
from switch.hsm import AskHSM
from switch.link.events import LinkEvent
from switch.settlement_days import SettlementDays, months_and_days


@attrs.frozen
class Sessions:
    """What one process has to do with its networks.

    Attributes:
        carriers: by network; their links are run by whoever opened this.
    """

    carriers: dict[str, Carrier]
    _settings: Switch
    _days: SettlementDays
    _now_us: Callable[[], int]

    async def run(self) -> None:
        """Look after it until canceled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                supplies.keep_credentials, self.carriers, self._settings, self._now_us
            )
            nursery.start_soon(self._days.run)


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
    days = SettlementDays(partial(begin_settlement_day, pool), _ignore, now_us)
    carriers = make_carriers(
        service,
        on_events,
        now_us,
        lease_holds,
        settlement_dates=months_and_days(await present_settlement_days(pool)),
        on_cutover=days.told,
        ask_hsm=ask_hsm,
    )
    return Sessions(carriers, service.settings.switch, days, now_us)


def _ignore(_network: str) -> None:
    """Nobody waits for a new settlement date."""
