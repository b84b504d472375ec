"""Asking the HSM of a running stack, as its admin: one question, one answer."""

from __future__ import annotations

import contextlib

import trio

from chassis.mux import MuxClient, MuxError, dial_unix
from chassis.settings import Settings
from hsm_sim.wire import HSMReply, HSMRequest


class HSMSilentError(Exception):
    """The HSM could not be reached or did not answer in time; says why."""


async def ask_hsm(socket: str, settings: Settings, request: HSMRequest) -> HSMReply:
    """Connect to a worker, ask, and hang up: people's questions are few and far between.

    Args:
        socket: path of the worker's Unix socket.
        settings: bounds of the connection, and how long an answer may take.
        request: the question.

    Raises:
        HSMSilentError: no connection or no answer in time.
    """
    worker: MuxClient[HSMRequest, HSMReply] = MuxClient(
        request_type=HSMRequest, reply_type=HSMReply, limits=settings.mux, name="hsm"
    )
    reply: HSMReply | None = None
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(settings.mux.connect_timeout_s + settings.hsm.open_deadline_s):
            await nursery.start(worker.run, lambda: dial_unix(socket))
            with contextlib.suppress(MuxError):  # `last_failure` says it
                reply = await worker.call(request)
        nursery.cancel_scope.cancel(reason="the HSM has been asked")
    if reply is None:
        raise HSMSilentError(worker.last_failure or "no answer")
    return reply
