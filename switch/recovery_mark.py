"""From where on recovery must read: the lowest attempt id that may be open, kept moving.

The ledger is searched a little further with every heartbeat, and the heartbeat carries the mark to
the lease. An attempt whose commit is still under way cannot be seen in the ledger; so the search
ends below the lowest id in anybody's hands (`floors`), and below ids drawn a while ago.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Never

import trio

from chassis.settings import Switch
from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from ledger.leases import lowest_open
from ledger.statements import Runner
from switch.responsibility import Responsibility


class RecoveryMarks:
    """The marks of everything that this process is responsible for.

    Args:
        runner: the ledger.
        limits: how often, how far, and how long ids may wait for their commits.
        boot_s: the clock of leases.

    Attributes:
        floors: each names the lowest attempt id of our own in somebody's hands that may not be
            committed, or says None.
    """

    def __init__(self, runner: Runner, limits: Switch, boot_s: Callable[[], float]) -> None:
        self.floors: list[Callable[[], bytes | None]] = []
        self._runner = runner
        self._limits = limits
        self._boot_s = boot_s

    async def keep_moving(
        self, owner: str, responsibilities: Callable[[], Sequence[Responsibility]]
    ) -> Never:
        """Move every mark up, once in a heartbeat; `floors` bind that of `owner`."""
        while True:
            await trio.sleep(self._limits.lease_heartbeat_s)
            try:
                for responsibility in responsibilities():
                    floors = self.floors if responsibility.switch == owner else []
                    await self._advance(responsibility, floors)
            except (RetryableError, ConnectionLostError, PoolOverloadError):
                continue  # heartbeats fail as well then, and are counted; the marks have time

    async def _advance(
        self, responsibility: Responsibility, floors: Sequence[Callable[[], bytes | None]]
    ) -> None:
        now_s = self._boot_s()
        responsibility.drawn.note(now_s, responsibility.ids.next())
        in_hand = [lowest for floor in floors if (lowest := floor()) is not None]
        up_to = min([responsibility.drawn.before_lag(now_s), *in_hand])
        if up_to > responsibility.mark:
            found = await lowest_open(
                self._runner,
                responsibility.switch,
                from_id=responsibility.mark,
                up_to=up_to,
                rows_max=self._limits.lease_mark_rows_max,
            )
            responsibility.mark = max(responsibility.mark, found)
