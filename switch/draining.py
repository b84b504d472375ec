"""How the switch stops: intakes close, links sign off, in no more time than the networks may take.

What has not been answered by then is left to the next start's recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import trio

from chassis.settings import Settings
from switch.carriers import Carrier


def drain_limit_s(settings: Settings) -> float:
    """How long a drain may take: until the last message is unknown, and a margin to record it."""
    longest_s = max(
        network.max_send_age_s + network.response_deadline_s
        for network in settings.networks.values()
    )
    return longest_s + settings.switch.drain_margin_s


async def drain_when_asked(
    draining: trio.Event,
    ends: Sequence[Callable[[], None]],
    working: trio.CancelScope,
    limit_s: float,
) -> None:
    """Close the intakes; what is inside then has until the limit, and recovery decides the rest."""
    await draining.wait()
    working.deadline = trio.current_time() + limit_s
    for end in ends:
        end()


async def drain_links(carriers: Mapping[str, Carrier]) -> None:
    """Wait until nothing is in flight on any link, or is past its deadline; then sign off."""
    async with trio.open_nursery() as nursery:
        for carrier in carriers.values():
            nursery.start_soon(carrier.group.drain)
