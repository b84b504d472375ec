"""The settlement dates that networks tell, made durable behind the links that hear of them.

A cutover is answered at once, as the network expects, and holds from then on for answers that carry
no DE 15. It is written down a moment later; should the process end in between, the next one goes on
with the day before until the network tells its date again or its answers carry it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Never

from chassis.bell import Bell
from chassis.log import get_logger
from switch.core.findings import settlement_date
from switch.pipeline.patience import patiently

log = get_logger(__name__)


class SettlementDays:
    """Writes down what links were told.

    Args:
        note: makes one network's date durable, YYYY-MM-DD.
        noted: called with the network once it is.
        now_us: microseconds since 1970, for the year.
    """

    def __init__(
        self,
        note: Callable[[str, str], Awaitable[None]],
        noted: Callable[[str], None],
        now_us: Callable[[], int],
    ) -> None:
        self._note = note
        self._noted = noted
        self._now_us = now_us
        self._told: dict[str, str] = {}  # by network; a later cutover replaces an earlier one
        self._bell = Bell()

    def told(self, network: str, month_and_day: str) -> None:
        """A network has moved on to a date, MMDD."""
        day = settlement_date(month_and_day, self._now_us())
        if not day:
            log.error("settlement_date_impossible", network=network, date=month_and_day)
            return
        self._told[network] = day
        self._bell.ring()

    async def run(self) -> Never:
        """Write down what is told, for as long as it takes."""
        while True:
            while not self._told:
                await self._bell.wait()
            network, day = next(iter(self._told.items()))
            await patiently(lambda network=network, day=day: self._note(network, day))  # type: ignore[misc]
            if self._told[network] == day:
                del self._told[network]
            self._noted(network)


def months_and_days(days: Mapping[str, str]) -> dict[str, str]:
    """DE 15 by network, from dates with their year."""
    return {network: f"{day[5:7]}{day[8:10]}" for network, day in days.items()}
