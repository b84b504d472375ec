"""The door of orders: admission, duplicates that join, and the one reply of each.

Every order that was admitted is answered here, the way its first waiter asked for it, and gives its
credit back.
"""

from __future__ import annotations

from typing import Final

import trio

from chassis.stage import Inbox
from switch.core.admission import Admission
from switch.core.operations.records import Order
from switch.operations.desk import Desk
from switch.operations.errands import Errand, OperationCounts
from switch.pipeline.payment import APIPeer, Waiter
from switch.wire import Done, Operate, Refused, SwitchReply

RETRY_AFTER_S: Final = 1
JOINED_MAX: Final = 256  # duplicates that may wait on one order; more is a client out of control


class OrderIntake:
    """Called by the mux; never blocks.

    Args:
        desk: of this switch; draws ids.
        admission: shared with the charges.
        inbox: between intake and look.
        counts: all operations'.

    Attributes:
        in_flight: orders under way that somebody waits for, by digest of their keys.
    """

    def __init__(
        self, *, desk: Desk, admission: Admission, inbox: Inbox[Errand], counts: OperationCounts
    ) -> None:
        self.in_flight: dict[bytes, Errand] = {}
        self._desk = desk
        self._admission = admission
        self._inbox = inbox
        self._counts = counts

    def accept(self, peer: APIPeer, request_id: int, operate: Operate) -> None:
        """Admit one order, or answer it at once; called by the mux, never blocks."""
        waiter: Waiter = (peer, request_id)
        first = self.in_flight.get(operate.key_digest)
        if first is not None:
            self._join(first, operate, waiter)
            return
        refusal = self._admission.enter(operate.merchant_id)
        if refusal:
            self._counts.orders_refused_total += 1
            peer.reply(request_id, Refused(refusal, RETRY_AFTER_S))
            return
        [transaction_id] = self._desk.take_ids(1)
        errand = Errand(
            order=_order_of(operate, transaction_id),
            waiters=[waiter],
            accepted_at=trio.current_time(),
        )
        self.in_flight[operate.key_digest] = errand
        self._counts.orders_total += 1
        self._inbox.put(errand)

    def _join(self, first: Errand, operate: Operate, waiter: Waiter) -> None:
        peer, request_id = waiter
        if first.order.request_hash != operate.request_hash:
            peer.reply(request_id, Refused("idempotency_key_reused"))
        elif len(first.waiters) > JOINED_MAX:
            peer.reply(request_id, Refused("overloaded", RETRY_AFTER_S))
        else:
            self._counts.orders_joined_total += 1
            first.waiters.append(waiter)

    def run_errand(self, order: Order) -> None:
        """Take an order of our own, such as the sweeper's: nobody waits, and none is refused.

        Raises:
            InboxFullError: there are too many; the sweeper will look again.
        """
        self._inbox.put(Errand(order=order, waiters=[], accepted_at=trio.current_time()))

    def done(self, errand: Errand, reply: SwitchReply) -> None:
        """Answer whoever waits, the first one's way, and give its credit back."""
        if not errand.waiters:
            return
        (first, request_id), *joined = errand.waiters
        errand.waiters = []
        del self.in_flight[errand.order.key_digest]
        self._admission.leave(errand.order.merchant_id)
        first.reply(request_id, reply)
        if isinstance(reply, Done):
            reply = Done(reply.transaction, replayed=True)
        for peer, joined_id in joined:
            peer.reply(joined_id, reply)


def _order_of(operate: Operate, transaction_id: bytes) -> Order:
    return Order(
        type=operate.type,
        intent_id=operate.intent_id,
        merchant_id=operate.merchant_id,
        live=operate.live,
        amount_minor=operate.amount_minor,
        final_capture=operate.final_capture,
        key_digest=operate.key_digest,
        request_hash=operate.request_hash,
        request_id=operate.request_id,
        transaction_id=transaction_id,
    )
