"""What merchants want done, handed to a switch over the mux; its refusals as problems.

Each merchant belongs to one of the switches, so that most of what is asked twice meets its first
copy in memory. Any other will do while that one is away: what must not happen twice is prevented by
the ledger. A request that a switch may have seen is never sent again from here, to that switch or
another. Only the merchant may repeat it, under its idempotency key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

from api.errors import CATALOG, Problem, ProblemError
from chassis.log import get_logger
from chassis.mux import MuxClient, MuxClosedError, MuxError, MuxOverloadError
from switch.wire import Refused, SwitchReply, SwitchRequest

RETRY_AFTER_S: Final = 1

log = get_logger(__name__)


class Charging:
    """Sends charges and what follows them.

    Args:
        switches: a client for each switch, in the order of their indexes.
    """

    def __init__(self, switches: Sequence[MuxClient[SwitchRequest, SwitchReply]]) -> None:
        self._switches = tuple(switches)

    @property
    def connected(self) -> bool:
        """Whether anything can be handed over now."""
        return any(switch.connected for switch in self._switches)

    def submit(
        self, request: SwitchRequest, deliver: Callable[[SwitchReply | MuxError], None]
    ) -> None:
        """Hand a request over; the reply is delivered in the task that reads the mux.

        Raises:
            ProblemError: `switch_unavailable` or `overloaded`; no switch has seen it.
        """
        try:
            self._switch_of(request.merchant_id).submit(request, deliver)
        except MuxClosedError:
            raise ProblemError(Problem("switch_unavailable", retry_after_s=RETRY_AFTER_S)) from None
        except MuxOverloadError:
            raise ProblemError(Problem("overloaded", retry_after_s=RETRY_AFTER_S)) from None

    def _switch_of(self, merchant_id: bytes) -> MuxClient[SwitchRequest, SwitchReply]:
        """The merchant's switch, or the next one that is connected."""
        switches = self._switches
        place = shard_of(merchant_id, len(switches))
        own = switches[place]
        if own.connected:
            return own
        others = switches[place + 1 :] + switches[:place]
        return next((switch for switch in others if switch.connected), own)


def shard_of(merchant_id: bytes, switches: int) -> int:
    """The index of a merchant's switch: the same in every api process, for as many switches."""
    return crc32(merchant_id) % switches


def refusal(reply: Refused | MuxError) -> Problem:
    """What a client is told; a lost connection leaves open whether anything was recorded."""
    if isinstance(reply, MuxError):
        return Problem("switch_unavailable", retry_after_s=RETRY_AFTER_S)
    if reply.code not in CATALOG:
        log.error("the switch refused with a code that has no page", code=reply.code)
        return Problem("internal_error")
    return Problem(reply.code, retry_after_s=reply.retry_after_s)
