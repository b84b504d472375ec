"""Asking the HSM's workers for something that is not a payment's card."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from chassis.mux import MuxClient, MuxError
from hsm_sim.wire import HSMReply, HSMRequest, Refused

AskHSM = Callable[[HSMRequest], Awaitable[HSMReply]]


class HSMUnavailableError(Exception):
    """No worker answered in time, or would; nothing is known of what came of the request."""


def asker(workers: Sequence[MuxClient[HSMRequest, HSMReply]], deadline_s: float) -> AskHSM:
    """A function that asks the least busy worker, and waits for so long.

    Raises (the function): HSMUnavailableError.
    """

    async def ask(request: HSMRequest) -> HSMReply:
        connected = [worker for worker in workers if worker.connected]
        if not connected:
            raise HSMUnavailableError("no HSM worker is connected")
        worker = min(connected, key=lambda each: each.in_flight)
        try:
            with trio.fail_after(deadline_s):
                reply = await worker.call(request)
        except (MuxError, trio.TooSlowError) as error:
            raise HSMUnavailableError(type(error).__name__) from None
        if isinstance(reply, Refused):
            raise HSMUnavailableError(reply.reason)
        return reply

    return ask
