"""An HSM that answers as told, behind a real socket."""

from __future__ import annotations

import socket
from collections.abc import Callable

import trio

from chassis.mux import MuxPeer, MuxServer
from chassis.settings import MuxLimits
from hsm_sim.wire import HSMReply, HSMRequest


class ToldHSM:
    """A worker's socket.

    Args:
        path: of the Unix socket.
        answer: the reply to a request; None = no answer at all.
        limits: of its connections.

    Attributes:
        heard: every request so far.
    """

    def __init__(
        self, path: str, answer: Callable[[HSMRequest], HSMReply | None], limits: MuxLimits
    ) -> None:
        self.path = path
        self.answer = answer
        self.heard: list[HSMRequest] = []
        self._limits = limits

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until canceled."""
        server: MuxServer[HSMRequest, HSMReply] = MuxServer(
            request_type=HSMRequest,
            reply_type=HSMReply,
            limits=self._limits,
            on_batch=self._answer,
        )
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen()
            await server.serve(listener, allowed_uids=None, task_status=task_status)

    def _answer(self, peer: MuxPeer[HSMReply], batch: list[tuple[int, HSMRequest]]) -> None:
        for number, request in batch:
            self.heard.append(request)
            reply = self.answer(request)
            if reply is not None:
                peer.reply(number, reply)
