"""The HSM's socket: a bounded queue between the peers and the one who works.

Requests of all peers wait in one queue and are answered one by one, with a turn for the network
between them. The queue is short (`queue_requests_max`, about 100 ms of work) and no peer may hold
more than half of it: what does not fit is refused at once, `Refused("unavailable")`, because a
fast refusal can be retried elsewhere and a long wait cannot.

Releases of stored cards wait in a second queue, because each is answered only once its audit line
is on disk. What gathers while one write is under way shares the next one, and the write happens in
a thread, so that the cards of new payments are opened meanwhile.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import trio

from chassis.clock import now_s
from chassis.log import get_logger
from chassis.mux import MuxPeer, MuxServer
from chassis.settings.tree import HSM, MuxLimits
from chassis.stage import Inbox, run_stage
from hsm_sim.audit import AuditError, Entry
from hsm_sim.commands import Commands
from hsm_sim.lmk import KeystoreError
from hsm_sim.policy import Policy
from hsm_sim.wire import HSMReply, HSMRequest, ReleaseCards

_log = get_logger(__name__)


class Waiting(NamedTuple):
    """A request in the queue."""

    peer: MuxPeer[HSMReply]
    request_id: int
    request: HSMRequest


class HSMServer:
    """One worker's socket.

    Args:
        commands: what answers.
        policy: whose connections are accepted.
        settings: the queue's bound.
        limits: the bounds of the connections.
        clock: wall-clock seconds since 1970.
        monotonic: seconds of a clock that never goes back.

    Attributes:
        inbox: the queue; close it to drain.
        releases: the queue of those who want stored cards; together they keep the bound.
    """

    def __init__(
        self,
        *,
        commands: Commands,
        policy: Policy,
        settings: HSM,
        limits: MuxLimits,
        clock: Callable[[], float] = now_s,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inbox: Inbox[Waiting] = Inbox(settings.queue_requests_max, name="hsm")
        self.releases: Inbox[Waiting] = Inbox(settings.queue_requests_max, name="hsm_releases")
        self._release_group_max = settings.release_group_max
        self._commands = commands
        self._policy = policy
        self._queue_max = settings.queue_requests_max
        self._peer_max = max(1, settings.queue_requests_max // 2)
        self._clock = clock
        self._monotonic = monotonic
        self._draining = False
        self._peer_left = trio.Event()
        self.mux: MuxServer[HSMRequest, HSMReply] = MuxServer(
            request_type=HSMRequest,
            reply_type=HSMReply,
            limits=limits,
            on_batch=self._on_batch,
            on_close=self._on_close,
        )

    async def serve(
        self,
        listener: socket.socket,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept the policy's users on a Unix socket until canceled."""
        await self.mux.serve(listener, allowed_uids=self._policy.uids, task_status=task_status)

    async def work(self) -> None:
        """Answer what waits, one request a turn, until drained.

        Raises:
            KeystoreError: the key store became unusable; the worker must not go on.
        """
        await run_stage(self.inbox, self._answer, batch_max=1)

    async def work_on_releases(self) -> None:
        """Answer those who want stored cards, a group for each write to disk, until drained.

        Raises:
            KeystoreError: as `work`.
        """
        await run_stage(self.releases, self._release, batch_max=self._release_group_max)

    def drain(self) -> None:
        """Refuse what comes from now on; both workers return when their queues are empty."""
        self._draining = True
        self.inbox.close()
        self.releases.close()

    async def gone(self) -> None:
        """Wait until no peer is connected."""
        while self.mux.peers:
            await self._peer_left.wait()

    def _on_close(self, _peer: MuxPeer[HSMReply]) -> None:
        self._peer_left.set()
        self._peer_left = trio.Event()

    def _on_batch(self, peer: MuxPeer[HSMReply], requests: list[tuple[int, HSMRequest]]) -> None:
        held_by_peer = peer.in_flight - len(requests)
        waiting = len(self.inbox) + len(self.releases)
        room = min(self._queue_max - waiting, self._peer_max - held_by_peer)
        accepted = 0 if self._draining else max(0, room)
        for request_id, request in requests[:accepted]:
            queue = self.releases if type(request) is ReleaseCards else self.inbox
            queue.put(Waiting(peer, request_id, request))
        for request_id, _ in requests[accepted:]:
            peer.reply(request_id, self._commands.refuse("unavailable"))

    async def _answer(self, batch: list[Waiting]) -> None:
        for peer, request_id, request in batch:
            peer.reply(request_id, self._reply(peer, request))

    async def _release(self, batch: list[Waiting]) -> None:
        at_s = int(self._clock())
        entries: list[Entry] = []
        replies = []
        for peer, _, request in batch:
            reply, noted = self._reply_to_release(peer, request, at_s)
            replies.append(reply)
            entries += noted
        if entries:
            try:
                await trio.to_thread.run_sync(partial(self._commands.note, entries, at_s=at_s))
            except (AuditError, OSError) as error:
                _log.exception("hsm_audit_failed", error=str(error))
                replies = [self._commands.refuse("unavailable")] * len(batch)
        for (peer, request_id, request), reply in zip(batch, replies, strict=True):
            assert isinstance(request, ReleaseCards)
            self._commands.count_release(request, reply)
            peer.reply(request_id, reply)

    def _reply_to_release(
        self, peer: MuxPeer[HSMReply], request: HSMRequest, at_s: int
    ) -> tuple[HSMReply, list[Entry]]:
        if peer.closed:
            return self._commands.refuse("unavailable"), []
        assert isinstance(request, ReleaseCards)
        try:
            return self._commands.release(
                request, uid=peer.uid, now_s=at_s, monotonic_s=self._monotonic()
            )
        except KeystoreError:
            raise
        except Exception as error:  # noqa: BLE001 - as in `_reply`
            return self._fault(error), []

    def _fault(self, error: Exception) -> HSMReply:
        self._commands.counters.faults_total += 1
        _log.error("hsm_fault", error=type(error).__name__)
        return self._commands.refuse("unavailable")

    def _reply(self, peer: MuxPeer[HSMReply], request: HSMRequest) -> HSMReply:
        if peer.closed:  # nobody will read it, so no card is opened for it
            return self._commands.refuse("unavailable")
        try:
            return self._commands.answer(request, uid=peer.uid, now_s=int(self._clock()))
        except KeystoreError:
            raise
        except (AuditError, OSError) as error:
            _log.exception("hsm_audit_failed", error=str(error))
            return self._commands.refuse("unavailable")
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the worker
            return self._fault(error)
