"""The record of one order, and what is counted."""

from __future__ import annotations

import attrs

from switch.core.messages import Acceptor
from switch.core.messages_following import Card
from switch.core.operations.records import Order
from switch.link.correlation import Slot
from switch.pipeline.payment import Waiter


@attrs.define(eq=False, kw_only=True)
class Errand:
    """An order on its way; fields fill in as it moves.

    Attributes:
        order: what is asked for.
        waiters: who hears of it: the first, and duplicates that joined it; none for the sweeper's.
        accepted_at: monotonic seconds.
        network: of the authorization; empty where no message leaves.
        slot: reserved on that network.
        charge_id: whose card the message needs.
        acceptor: the merchant, as the network is told of it.
        card: released by the HSM; dropped when the message is encoded.
    """

    order: Order
    waiters: list[Waiter]
    accepted_at: float
    network: str = ""
    slot: Slot | None = None
    charge_id: bytes = b""
    acceptor: Acceptor | None = None
    card: Card | None = None

    def __repr__(self) -> str:
        """Ids only."""
        return f"Errand({self.order.type}, intent={self.order.intent_id.hex()})"


@attrs.define
class OperationCounts:
    """Plain integers, counted as it happens and read by the metrics collector."""

    orders_total: int = 0  # admitted by the intake
    orders_refused_total: int = 0  # answered with nothing recorded
    orders_joined_total: int = 0  # duplicates that joined one in flight
    orders_replayed_total: int = 0  # answered from an earlier one under the same key
    captures_total: int = 0  # recorded; so for the next two
    cancels_total: int = 0
    refunds_total: int = 0
    inquiries_total: int = 0  # sent
    inquiries_conclusive_total: int = 0  # that ended a doubt
    reversals_begun_total: int = 0  # windows that closed on a doubt
    advices_sent_total: int = 0
    advices_repeated_total: int = 0  # of those, not for the first time
    advices_ended_total: int = 0  # acknowledged, or decided by an operator
    advices_alarming_total: int = 0  # sent so often that somebody should look
    advices_rejected_total: int = 0  # put aside for an operator
    late_adopted_total: int = 0  # doubts ended by a late answer
    exceptions_total: int = 0  # opened for a person
    decisions_failed_total: int = 0  # steps at fault
    cards_not_released_total: int = 0  # that the HSM refused, or did not answer for
    errors_total: int = 0  # faults of ours on one of them
