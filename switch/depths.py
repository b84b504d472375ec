"""How much waits in the ledger's queues, and what stands open for a person: for the metrics.

Counted every few seconds, of the whole ledger: every switch shows the same numbers, so look at the
highest and do not add them up. While the ledger is away they stay what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final, Never

import trio

from chassis.metrics import Metrics
from ledger.errors import LedgerError
from ledger.exceptions import count_exceptions
from ledger.lifecycle import SAF_KINDS
from ledger.saf import SafCount, count_saf
from ledger.statements import Runner
from ledger.verifications import VerificationCount, count_verifications

EVERY_S: Final = 10.0  # three small counts; a person reacts in minutes


class Depths:
    """The depths as they were counted last.

    Args:
        runner: of role turnout_switch.
        now_us: microseconds since 1970.
    """

    def __init__(self, runner: Runner, now_us: Callable[[], int]) -> None:
        self._runner = runner
        self._now_us = now_us
        self._advices: dict[tuple[str, str], SafCount] = {}
        self._doubts: dict[str, VerificationCount] = {}
        self._exceptions = 0

    async def keep_counting(self) -> Never:
        """Count from time to time; a ledger that is away has told of itself elsewhere."""
        while True:
            with suppress(LedgerError):
                await self.count()
            await trio.sleep(EVERY_S)

    async def count(self) -> None:
        """Count once.

        Raises:
            LedgerError: the ledger could not be asked.
        """
        advices, doubts = await count_saf(self._runner), await count_verifications(self._runner)
        self._exceptions = sum((await count_exceptions(self._runner)).values())
        self._advices = {(each.network, each.kind): each for each in advices}
        self._doubts = {each.network: each for each in doubts}

    def register(self, metrics: Metrics, networks: Iterable[str]) -> None:
        """Expose the depths of these networks as `turnout_switch_…`."""
        metrics.gauge("exceptions_open_total", "What a person has to look into", self._open)
        for network in networks:
            metrics.gauge(
                "doubts_open_total",
                "Charges and refunds whose outcome is being found out",
                partial(self._doubting, network),
                network=network,
            )
            metrics.gauge(
                "advices_oldest_seconds",
                "Since when the oldest advice waits for its acknowledgment",
                partial(self._oldest_s, network),
                network=network,
            )
            for kind in SAF_KINDS:
                metrics.gauge(
                    "advices_waiting_total",
                    "Advices that are repeated until they are acknowledged",
                    partial(self._waiting, network, kind),
                    network=network,
                    kind=kind,
                )
                metrics.gauge(
                    "advices_manual_total",
                    "Advices that wait for an operator",
                    partial(self._manual, network, kind),
                    network=network,
                    kind=kind,
                )

    def _open(self) -> int:
        return self._exceptions

    def _doubting(self, network: str) -> int:
        count = self._doubts.get(network)
        return 0 if count is None else count.waiting

    def _waiting(self, network: str, kind: str) -> int:
        count = self._advices.get((network, kind))
        return 0 if count is None else count.waiting

    def _manual(self, network: str, kind: str) -> int:
        count = self._advices.get((network, kind))
        return 0 if count is None else count.manual

    def _oldest_s(self, network: str) -> float:
        now_us = self._now_us()
        oldest_us = min(
            (each.oldest_at_us for (of, _), each in self._advices.items() if of == network),
            default=now_us,
        )
        return max(0, now_us - oldest_us) / 1_000_000
