"""The queues that this process looks after: its own switch's, and those of switches that died.

It follows the keeper of leases. Each responsibility has a watch of its own, so that what one switch
left is decided in that switch's name, and can be let go of without a word to the others.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ledger.leases import LeaseLostError
from switch.operations.desk import Desk
from switch.operations.watch import Watch
from switch.responsibility import Responsibility


class Watches:
    """One watch a responsibility.

    Args:
        own: this process's own switch, which it never gives up.
        make: a watch of somebody's queues.
        let_go: told when a commit finds that another process has taken a switch over.

    Attributes:
        own: the watch of this process's own switch.
    """

    def __init__(
        self,
        own: Responsibility,
        *,
        make: Callable[[Responsibility], Watch],
        let_go: Callable[[Responsibility], None],
    ) -> None:
        self.own = make(own)
        self._make = make
        self._let_go = let_go
        self._by_switch = {own.switch: self.own}
        self._nursery: trio.Nursery | None = None

    @property
    def desks(self) -> list[Desk]:
        """Of every responsibility."""
        return [watch.desk for watch in self._by_switch.values()]

    @property
    def undecided(self) -> int:
        """Steps that were submitted and not yet answered."""
        return sum(desk.undecided for desk in self.desks)

    def wake(self) -> None:
        """Look at the queues at once."""
        for watch in self._by_switch.values():
            watch.wake()

    def gained(self, responsibility: Responsibility) -> None:
        """Look after the queues of another switch from now on."""
        if responsibility.switch == self.own.responsibility.switch:
            return
        watch = self._by_switch[responsibility.switch] = self._make(responsibility)
        if self._nursery is not None:
            self._nursery.start_soon(self._run, watch)

    def lost(self, responsibility: Responsibility) -> None:
        """Somebody else does; what was under way here is refused by the ledger."""
        if responsibility.switch != self.own.responsibility.switch:
            self._by_switch.pop(responsibility.switch).scope.cancel()

    def start(self, nursery: trio.Nursery) -> None:
        """Run every watch there, and those that come later too, until `close_desks`.

        Watches end by themselves after `close` and `close_desks`. A fault of ours ends the nursery,
        and so does what `let_go` raises of this process's own switch.
        """
        self._nursery = nursery
        for watch in self._by_switch.values():
            nursery.start_soon(self._run, watch)

    def close(self) -> None:
        """Go round no more; the desks go on."""
        for watch in self._by_switch.values():
            watch.close()

    async def wait_quiet(self) -> None:
        """Wait until no desk has anything to decide: what one decides may be more for another."""
        while self.undecided:
            for desk in self.desks:
                await desk.wait_quiet()

    def close_desks(self) -> None:
        """Decide nothing more, and take up nothing more."""
        for desk in self.desks:
            desk.close()
        self._nursery = None

    async def _run(self, watch: Watch) -> None:
        try:
            await watch.run()
        except* LeaseLostError:
            self._let_go(watch.responsibility)
        finally:
            if watch is not self.own:  # with our own this process ends, and nobody hears
                watch.desk.abandon()
