"""The links of a group, and how one follows another without a gap.

Links fill places: `network.connections` of them. A place whose connection is to be made anew,
because certificates were exchanged, gets a second link first. Only when that one has signed on does
the first stop taking messages; it waits for its answers, signs off and is gone. So there is room
for payments all the time, and a certificate that the network does not take leaves the old links
where they are. Link numbers are never used twice.
"""

from __future__ import annotations

import math
from itertools import count
from typing import Final, Never

import trio

from chassis.bell import Bell
from chassis.log import get_logger
from switch.link.context import LinkContext
from switch.link.correlation import Window
from switch.link.runner import Link

SETTLE_MARGIN_S: Final = 1.0

log = get_logger(__name__)


class Places:
    """The links of one network.

    Args:
        context: what they share.
        changes: where to wait for links that come up, go down or have their last answer.

    Attributes:
        links: one for each of `network.connections`, and those that are on their way in or out.
        retiring: links that wait for their last answers; then `changes` must wake on each.
    """

    def __init__(self, context: LinkContext, changes: trio.lowlevel.ParkingLot) -> None:
        self._context = context
        self._changes = changes
        self._numbers = count()
        self._stopping = False
        self._renewal_wanted = False
        self._renewal = Bell()
        self.retiring = 0
        self.links = [
            Link(next(self._numbers), place, context)
            for place in range(context.network.connections)
        ]

    @property
    def settled_within_s(self) -> float:
        """How long it takes at most until everything reserved has its fate."""
        network = self._context.network
        return network.max_send_age_s + network.response_deadline_s + SETTLE_MARGIN_S

    async def run(self) -> None:
        """Keep all links up until they were drained."""
        async with trio.open_nursery() as renewing:
            async with trio.open_nursery() as links:
                for link in self.links:
                    links.start_soon(link.run)
                renewing.start_soon(self._renew_when_asked, links)
            renewing.cancel_scope.cancel()

    def least_loaded(self) -> Window | None:
        """The window with the fewest messages in flight, of links that are up and have room."""
        best = None
        least = math.inf
        for link in self.links:
            window = link.window
            if window.open and window.in_flight < least and window.in_flight < window.size:
                best = window
                least = window.in_flight
        return best

    def drain(self) -> None:
        """Every link takes nothing new and dials no more."""
        self._stopping = True
        for link in self.links:
            link.drain()

    def sign_off(self) -> None:
        """Every link says good-bye."""
        for link in self.links:
            link.sign_off()

    def renew(self) -> None:
        """Make every connection anew, one after the other and without a gap."""
        self._renewal_wanted = True
        self._renewal.ring()

    async def _renew_when_asked(self, nursery: trio.Nursery) -> Never:
        while True:
            while not self._renewal_wanted:
                await self._renewal.wait()
            self._renewal_wanted = False
            for link in tuple(self.links):
                # A link that is not up dials anew by itself.
                if link.up and not await self._replace(link, nursery):
                    break

    async def _replace(self, old: Link, nursery: trio.Nursery) -> bool:
        """Put a new link in the place of one that is up; False if the network does not take it."""
        context = self._context
        new = Link(next(self._numbers), old.place, context)
        self.links.append(new)
        nursery.start_soon(new.run)
        network = context.network
        with trio.move_on_after(network.connect_timeout_s + network.sign_on_timeout_s):
            while not (new.up or self._stopping):
                await self._changes.park()
        if self._stopping:
            return False
        taken = new.up
        if not taken:
            context.counters.alarms_total += 1
            log.error("links_not_renewed", network=context.name, link=old.index)
        await self._retire(old if taken else new)
        return taken

    async def _retire(self, link: Link) -> None:
        """Let a link finish what it has, sign off, and be gone; a drain does the same for all."""
        self.retiring += 1
        link.drain()
        with trio.move_on_after(self.settled_within_s):
            while link.window.in_flight and not self._stopping:
                await self._changes.park()
        if not self._stopping:
            link.sign_off()
        await link.ended.wait()
        self.retiring -= 1
        if not self._stopping:
            self.links.remove(link)
