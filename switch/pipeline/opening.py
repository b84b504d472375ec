"""Open card: batches of sealed cards through the least-loaded HSM worker.

A bounded number of batches is in flight; while all are, cards gather into larger ones. Every batch
has a deadline. A worker that does not answer by then costs its payments a 503 and nothing is
recorded, since nothing was sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from operator import attrgetter
from typing import NoReturn

import trio
from msgspec import Struct

from chassis.log import get_logger
from chassis.mux import MuxClient, MuxError
from chassis.settings import HSM
from chassis.stage import Inbox
from hsm_sim.wire import CardsOpened, CardToOpen, HSMReply, HSMRequest, OpenCards, OpenedCard
from ledger.ids import public_id
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies
from switch.wire import Charge

log = get_logger(__name__)
RETRY_AFTER_S = 1
EXPIRY_TICK_S = 0.05  # how finely the deadline is kept; it is a fault's deadline, not a timer


class _Batch(Struct, gc=False):
    payments: list[Payment]
    worker: int
    request_id: int
    expires_at: float
    open: bool = True


class Opening:
    """The stage in front of the HSM workers.

    Args:
        workers: clients of the HSM.
        settings: batches and deadlines.
        recording: where opened cards go.
        replies: answers what goes no further.
        refused_pans: card numbers that are not charged in this mode.
    """

    def __init__(
        self,
        *,
        workers: Sequence[MuxClient[HSMRequest, HSMReply]],
        settings: HSM,
        recording: Inbox[Payment],
        replies: Replies,
        counts: PipelineCounts,
        anomalies: Anomalies,
        refused_pans: Collection[str],
    ) -> None:
        self._workers = workers
        self._refused_pans = refused_pans
        self._loads = [0] * len(workers)
        self._settings = settings
        self._recording = recording
        self._replies = replies
        self._counts = counts
        self._anomalies = anomalies
        self._in_flight: deque[_Batch] = deque()
        self._free = trio.Event()

    @property
    def idle(self) -> bool:
        """Whether no batch waits for a worker's answer."""
        return not any(self._loads)

    async def wait_idle(self) -> None:
        """Return once every batch has been answered or has passed its deadline."""
        while not self.idle:
            self._free = trio.Event()
            await self._free.wait()

    async def handle(self, batch: list[Payment]) -> None:
        """Send one batch to the least-loaded worker; waits while every worker is busy."""
        while True:
            worker = self._choose()
            if worker is None:
                self._refuse(batch)
                return
            if self._loads[worker] < self._settings.batches_in_flight_max:
                break
            self._free = trio.Event()
            await self._free.wait()
        # The deadline runs from intake: waiting for a stalled worker is part of the wait.
        begun_after = trio.current_time() - self._settings.open_deadline_s
        oldest = min(map(_accepted_at, batch))
        if oldest <= begun_after:
            self._refuse([payment for payment in batch if payment.accepted_at <= begun_after])
            batch = [payment for payment in batch if payment.accepted_at > begun_after]
            if not batch:
                return
            oldest = min(map(_accepted_at, batch))
        flight = _Batch(batch, worker, 0, oldest + self._settings.open_deadline_s)
        request = OpenCards([_card_to_open(payment.charge) for payment in batch])
        self._loads[worker] += 1
        try:
            flight.request_id = self._workers[worker].submit(
                request, lambda reply: self._deliver(flight, reply)
            )
        except MuxError:
            self._refuse(self._close(flight))
            return
        self._in_flight.append(flight)

    async def expire(self) -> NoReturn:
        """Answer batches whose deadline has passed; one task for all of them."""
        while True:
            await trio.sleep(EXPIRY_TICK_S)
            now = trio.current_time()
            while self._in_flight and (
                not self._in_flight[0].open or self._in_flight[0].expires_at <= now
            ):
                flight = self._in_flight.popleft()
                if flight.open:
                    self._counts.hsm_timeouts_total += 1
                    self._workers[flight.worker].forget(flight.request_id)
                    self._refuse(self._close(flight))

    def _choose(self) -> int | None:
        best = None
        for index, worker in enumerate(self._workers):
            if worker.connected and (best is None or self._loads[index] < self._loads[best]):
                best = index
        return best

    def _deliver(self, flight: _Batch, reply: HSMReply | MuxError) -> None:
        if not flight.open:
            return
        payments = self._close(flight)
        if not isinstance(reply, CardsOpened) or len(reply.cards) != len(payments):
            self._anomalies.tell(
                log.warning,
                "hsm_batch_failed",
                cards=len(payments),
                reply=type(reply).__name__,
            )
            self._refuse(payments)
            return
        opened: list[Payment] = []
        for payment, card in zip(payments, reply.cards, strict=True):
            if not isinstance(card, OpenedCard):
                self._replies.refuse(payment, card.code)
            elif card.pan in self._refused_pans:
                self._replies.refuse(payment, "card_refused")
            else:
                payment.card = card
                opened.append(payment)
        self._recording.put_many(opened)

    def _close(self, flight: _Batch) -> list[Payment]:
        """Give the worker free and let go of the payments: `expire` keeps the batch for a while."""
        flight.open = False
        self._loads[flight.worker] -= 1
        self._free.set()
        payments, flight.payments = flight.payments, []
        return payments

    def _refuse(self, batch: list[Payment]) -> None:
        for payment in batch:
            self._replies.refuse(payment, "hsm_unavailable", RETRY_AFTER_S)


_accepted_at: Callable[[Payment], float] = attrgetter("accepted_at")


def _card_to_open(charge: Charge) -> CardToOpen:
    return CardToOpen(  # in the order of its fields: by name it takes half as long again
        charge.ciphertext,
        charge.live,
        charge.publishable_key,
        public_id("pi", charge.intent_id),
        charge.intent_id,
        charge.merchant_id,
    )
