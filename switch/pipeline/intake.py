"""Intake: what the api connections hand in, admitted or refused before any work."""

from __future__ import annotations

from collections.abc import Callable

import trio

from chassis.stage import Inbox
from switch.core.admission import Admission
from switch.pipeline.payment import APIPeer, Payment, PipelineCounts
from switch.pipeline.replying import Replies
from switch.wire import Charge, Operate, Refused, SwitchRequest

JOINED_MAX = 256  # duplicates that may wait on one payment; more is a client out of control
RETRY_AFTER_S = 1


class Intake:
    """Called by the mux with everything one receive brought; synchronous, never blocks."""

    __slots__ = ("_admission", "_counts", "_lookup", "_order", "_replies")

    def __init__(
        self,
        *,
        admission: Admission,
        replies: Replies,
        lookup: Inbox[Payment],
        counts: PipelineCounts,
        order: Callable[[APIPeer, int, Operate], None],
    ) -> None:
        self._admission = admission
        self._replies = replies
        self._lookup = lookup
        self._counts = counts
        self._order = order

    def accept(self, peer: APIPeer, batch: list[tuple[int, SwitchRequest]]) -> None:
        """Admit a batch: answer what can be answered now, put the rest before the look-up.

        Orders, which bring no card, go another way.
        """
        now = trio.current_time()
        in_flight = self._replies.in_flight
        admitted: list[Payment] = []
        for request_id, charge in batch:
            if isinstance(charge, Operate):
                self._order(peer, request_id, charge)
                continue
            first = in_flight.get(charge.key_digest)
            if first is not None:
                self._join(first, charge, peer, request_id)
                continue
            known = self._replies.recall(charge.key_digest, charge.request_hash)
            if known is not None:
                self._counts.replayed_total += 1
                peer.reply(request_id, known)
                continue
            refusal = self._admission.enter(charge.merchant_id)
            if refusal:
                self._counts.refused_total += 1
                peer.reply(request_id, Refused(refusal, RETRY_AFTER_S))
                continue
            payment = Payment(charge=charge, waiter=(peer, request_id), accepted_at=now)
            in_flight[charge.key_digest] = payment
            admitted.append(payment)
        if admitted:
            self._counts.accepted_total += len(admitted)
            self._lookup.put_many(admitted)

    def close(self) -> None:
        """Admit nothing more; what is inside goes on."""
        self._admission.closed = True

    def _join(self, first: Payment, charge: Charge, peer: APIPeer, request_id: int) -> None:
        if first.charge.request_hash != charge.request_hash:
            peer.reply(request_id, Refused("idempotency_key_reused"))
            return
        if first.joined is None:
            first.joined = []
        if len(first.joined) >= JOINED_MAX:
            peer.reply(request_id, Refused("overloaded", RETRY_AFTER_S))
            return
        self._counts.joined_total += 1
        first.joined.append((peer, request_id))
