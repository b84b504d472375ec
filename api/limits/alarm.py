"""The line of the log that says that cards are being tried: it tells somebody, and never floods."""

from __future__ import annotations

from typing import Final

from api.limits.gcra import NS_PER_S
from chassis.log import get_logger
from ledger.ids import public_id

INTERVAL_NS: Final = 60 * NS_PER_S  # an attack of hours is a line a minute; metrics have each try

log = get_logger(__name__)


class Alarm:
    """Tells of charges that were refused to whoever tries cards, at most once a minute."""

    __slots__ = ("_quiet_until_ns", "_untold")

    def __init__(self) -> None:
        self._quiet_until_ns = 0
        self._untold = 0

    def refused(self, place: str, merchant_id: bytes, now_ns: int) -> None:
        """Hear of one charge that was refused at a place, and whose it would have been."""
        if now_ns < self._quiet_until_ns:
            self._untold += 1
            return
        log.error(
            "cards are being tried",
            place=place,
            merchant=public_id("mer", merchant_id),
            refused_besides=self._untold,
        )
        self._quiet_until_ns = now_ns + INTERVAL_NS
        self._untold = 0
