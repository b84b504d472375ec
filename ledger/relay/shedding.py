"""Whether the event stream is so far behind that nothing new should be taken.

Theory of operation. A relay that is gone, or slower than the payments, pins WAL on the database's
disk. The server lets a slot pin so much (`max_slot_wal_keep_size`), then gives it up to save its
own disk; the stream then has a gap that a repair has to close. So well before that, new payments
are refused, as in any overload, while those inside are finished. Asked is the server itself, once a
second, by whoever takes payments in: a relay that is dead could not tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Never

import trio

from chassis.log import get_logger
from chassis.settings.tree import Relay as Limits
from ledger.errors import DatabaseError, PoolOverloadError
from ledger.relay.ledger_side import pinned_share
from ledger.statements import Runner

LOOK_S: Final = 1.0
RESUME_SHARE: Final = 0.8  # of the limit: intake opens again well below where it closed

_log = get_logger(__name__)


class PinnedWAL:
    """The share of what it may pin that our slot does pin; of two relays, the one behind.

    Args:
        runner: any role's sessions.
        limits: the relay's settings.

    Attributes:
        ratio: at the last look; 0 where nothing limits a slot, or none is there.
        over: whether nothing new should be taken.
    """

    def __init__(self, runner: Runner, limits: Limits) -> None:
        self._runner = runner
        self._slots = [limits.slot, *([limits.second_slot] if limits.second else [])]
        self._shed_at_ratio = limits.shed_at_ratio
        self.ratio = 0.0
        self.over = False

    async def look(self) -> None:
        """Look once; a change is logged. A server that does not answer changes nothing."""
        try:
            self.ratio = await pinned_share(self._runner, self._slots)
        except (DatabaseError, PoolOverloadError) as error:
            _log.debug("pinned WAL unknown", reason=str(error))
            return
        limit = self._shed_at_ratio * (RESUME_SHARE if self.over else 1.0)
        over = self.ratio >= limit
        if over and not self.over:
            _log.error("event stream far behind: nothing new is taken", pinned=round(self.ratio, 2))
        elif self.over and not over:
            _log.warning("event stream near enough again", pinned=round(self.ratio, 2))
        self.over = over

    async def watch(self, tell: Callable[[bool], None]) -> Never:
        """Look once a second until canceled; `tell` hears each time whether it is over."""
        while True:
            await self.look()
            tell(self.over)
            await trio.sleep(LOOK_S)
