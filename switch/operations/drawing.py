"""Ids and numbers for messages that a decision may call for, drawn before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from switch.carriers import Carrier
from switch.core.numbers import RRNSource
from switch.core.operations.records import Spare


class Drawing:
    """Draws for all networks.

    Args:
        carriers: by network name.
        rrns: of this switch.
        now_us: the time of day, microseconds since 1970.
        steady_us: the clock of waits, likewise.
    """

    def __init__(
        self,
        carriers: Mapping[str, Carrier],
        rrns: RRNSource,
        now_us: Callable[[], int],
        steady_us: Callable[[], int],
    ) -> None:
        self._carriers = carriers
        self._rrns = rrns
        self._now_us = now_us
        self._steady_us = steady_us

    def spare(self, network: str, attempt_id: bytes) -> Spare:
        """Numbers for one message on a network.

        Raises:
            NumbersExhaustedError: there is no STAN at hand.
        """
        carrier = self._carriers[network]
        stan, de7 = carrier.stans.next(self._now_us() // 1_000_000)
        return Spare(
            attempt_id=attempt_id,
            network=network,
            acquirer_id=carrier.settings.acquirer_id,
            stan=stan,
            de7=de7,
            rrn=self._rrns.next(),
            deadline_at_us=self._steady_us() + carrier.answered_within_us,
        )

    def de7(self, network: str) -> str:
        """A new transmission time, for networks that want one on a repeat.

        Raises:
            NumbersExhaustedError: there is no STAN at hand.
        """
        return self._carriers[network].stans.next(self._now_us() // 1_000_000)[1]


def no_numbers(attempt_id: bytes) -> Spare:
    """For a decision that no message follows: one that called for it after all would be refused."""
    return Spare(
        attempt_id=attempt_id,
        network="",
        acquirer_id="",
        stan="",
        de7="",
        rrn="",
        deadline_at_us=0,
    )
