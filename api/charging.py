"""What merchants want done, handed to the switch over the mux; its refusals as problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from api.errors import CATALOG, Problem, ProblemError
from chassis.log import get_logger
from chassis.mux import MuxClient, MuxClosedError, MuxError, MuxOverloadError
from switch.wire import Refused, SwitchReply, SwitchRequest

RETRY_AFTER_S: Final = 1

log = get_logger(__name__)


class Charging:
    """Sends charges and what follows them; `switch` is the client of this api's one switch."""

    def __init__(self, switch: MuxClient[SwitchRequest, SwitchReply]) -> None:
        self._switch = switch

    @property
    def connected(self) -> bool:
        """Whether anything can be handed over now."""
        return self._switch.connected

    def submit(
        self, request: SwitchRequest, deliver: Callable[[SwitchReply | MuxError], None]
    ) -> None:
        """Hand a request over; the reply is delivered in the task that reads the mux.

        Raises:
            ProblemError: `switch_unavailable` or `overloaded`; the switch has not seen it.
        """
        try:
            self._switch.submit(request, deliver)
        except MuxClosedError:
            raise ProblemError(Problem("switch_unavailable", retry_after_s=RETRY_AFTER_S)) from None
        except MuxOverloadError:
            raise ProblemError(Problem("overloaded", retry_after_s=RETRY_AFTER_S)) from None


def refusal(reply: Refused | MuxError) -> Problem:
    """What a client is told; a lost connection leaves open whether anything was recorded."""
    if isinstance(reply, MuxError):
        return Problem("switch_unavailable", retry_after_s=RETRY_AFTER_S)
    if reply.code not in CATALOG:
        log.error("the switch refused with a code that has no page", code=reply.code)
        return Problem("internal_error")
    return Problem(reply.code, retry_after_s=reply.retry_after_s)
