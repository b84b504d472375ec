"""The memory of declined cards, kept like the ledger's table of declines.

Read whole at the start, as far as the rules go back, and its end again every few seconds, for what
other switches have recorded meanwhile. Commits do not become visible in the order of their
instants, so each look begins a little before the newest decline that is known; what comes even
later is missed until the next start, except by the switch that recorded it, which noted it itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, Never, Protocol

import trio

from chassis.log import get_logger
from chassis.settings import Switch
from ledger.declines import DeclineRow
from ledger.errors import LedgerError
from switch.core.decline_memory import KEPT_US, DeclineMemory

log = get_logger(__name__)
PAGE_ROWS: Final = 500  # a millisecond of the loop
FORGOTTEN_MAX: Final = 1_000  # cards a round: likewise
OVERLAP_US: Final = 10_000_000  # by how much a commit may become visible late
LOAD_S: Final = 2.0  # at the start; a longer table is read to its end beside the first payments


class RecentDeclines(Protocol):
    """`ledger.declines.recent_declines` on a pool."""

    def __call__(self, since_us: int, *, page_rows: int) -> AsyncIterator[list[DeclineRow]]:
        """Pages, oldest first."""


class Declines:
    """Keeps a memory like the table.

    Args:
        memory: what charges look into.
        recent: the ledger's table.
        settings: how often it is looked at.
        now_us: microseconds since 1970.
    """

    def __init__(
        self,
        memory: DeclineMemory,
        recent: RecentDeclines,
        settings: Switch,
        now_us: Callable[[], int],
    ) -> None:
        self._memory = memory
        self._recent = recent
        self._refresh_s = settings.declines_refresh_s
        self._now_us = now_us
        self._newest_us = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> Never:
        """Read for ever; started once the table has been read, or has kept us for long enough."""
        patience_ends = trio.current_time() + LOAD_S
        started = failing = False
        while True:
            try:
                async for page in self._recent(self._since_us(), page_rows=PAGE_ROWS):
                    self._note(page)
                    if not started and trio.current_time() >= patience_ends:
                        task_status.started()
                        started = True
            except LedgerError as error:
                if not failing:
                    log.warning("declines_not_read", error=type(error).__name__)
                failing = True
            else:
                failing = False
            if not started:
                task_status.started()
                started = True
            self._memory.forget(self._now_us(), limit=FORGOTTEN_MAX)
            await trio.sleep(self._refresh_s)

    def _since_us(self) -> int:
        """From where on to read; a clock that was set back meanwhile must not lie behind it."""
        now_us = self._now_us()
        return min(max(self._newest_us, now_us - KEPT_US), now_us) - OVERLAP_US

    def _note(self, page: list[DeclineRow]) -> None:
        for row in page:
            self._memory.note(
                row.merchant_id, row.fingerprint, row.decline_class, row.at_us, row.attempt_id
            )
        self._newest_us = max(self._newest_us, page[-1].at_us)
