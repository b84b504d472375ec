"""The queues of one switch, for as long as this process is responsible for them.

A watch has a desk of its own, in the name of its switch, and goes round: advices that are due,
doubts that are due, and again as soon as something was put into a queue, or after a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from chassis.bell import Bell
from chassis.log import get_logger
from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from switch.operations.desk import Desk
from switch.operations.doubts import Doubts
from switch.operations.forwarder import Forwarder
from switch.operations.telling import Telling
from switch.responsibility import Responsibility

log = get_logger(__name__)

# The ledger is away or busy, which passes; anything else is a fault of ours and ends the process.
PASSING = (RetryableError, ConnectionLostError, PoolOverloadError)


@attrs.define(eq=False, kw_only=True)
class Watch:
    """One responsibility's work.

    Attributes:
        responsibility: whose.
        desk: decides in its name.
        forwarder: its advices.
        doubts: its doubts.
        telling: what it keeps for want of numbers is told again each round.
        take_up: mends due times that somebody else's clock has written; called once, before the
            first round.
        poll_s: how late something due may be noticed.
        scope: canceled when somebody else has become responsible.
    """

    responsibility: Responsibility
    desk: Desk
    forwarder: Forwarder
    doubts: Doubts
    telling: Telling
    take_up: Callable[[], Awaitable[None]]
    poll_s: float
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _bell: Bell = attrs.field(factory=Bell, init=False)
    _awake: bool = attrs.field(default=False, init=False)
    _closing: bool = attrs.field(default=False, init=False)
    _failing: bool = attrs.field(default=False, init=False)
    _taken_up: bool = attrs.field(default=False, init=False)

    async def run(self) -> None:
        """Work until closed, or until `scope` is canceled.

        Raises:
            LeaseLostError: another process has taken the switch over.
            DatabaseError: a fault of ours, such as a missing privilege.
        """
        with self.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.desk.run)
                await self._go_round()

    def wake(self) -> None:
        """Go round at once: something was put into a queue."""
        self._awake = True
        self._bell.ring()

    def close(self) -> None:
        """Go round no more; the desk goes on until it is closed too."""
        self._closing = True
        self._bell.ring()

    async def _go_round(self) -> None:
        while not self._closing:
            self._awake = False
            again_s: float | None = None
            try:
                if not self._taken_up:
                    await self.take_up()
                    self._taken_up = True
                again_s = await self.forwarder.round()
                await self.doubts.round()
            except PASSING as error:
                if not self._failing:
                    log.warning("queues_not_read", error=type(error).__name__)
                self._failing = True
            else:
                self._failing = False
            self.telling.tell_postponed()
            if again_s is not None:
                await trio.sleep(again_s)
            elif not (self._awake or self._closing):
                with trio.move_on_after(self.poll_s):
                    await self._bell.wait()
