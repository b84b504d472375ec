"""Network events to outcomes, commit 2, replies.

Link groups hand in their events as they happen; this stage turns a batch of them into outcomes,
records them in one commit and answers. A payment whose outcome is `unknown` is answered as pending
and forgotten here; should its answer arrive late, the event still carries the payment, and the
outcome is adopted as phase 2 by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from chassis.log import get_logger
from chassis.stage import Inbox
from ledger.outcomes import OutcomeCommitter
from ledger.records import OutcomeToRecord, Settled
from switch.core.batching import split_distinct
from switch.core.decide import Decision, judge_answer, not_sent, unknown
from switch.core.response_codes import ResponseCodes
from switch.link.events import Answered, Duplicate, Late, LinkEvent, NotSent, Unknown, Unmatched
from switch.pipeline.orphans import ORPHANS_MAX, Orphan
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies, state_of_payment

log = get_logger(__name__)


class Settlement(Struct, gc=False):
    """A decision about a payment, to be made durable."""

    payment: Payment
    decision: Decision
    phase: int


class Settling:
    """Commit 2 and the answer."""

    def __init__(
        self,
        *,
        committer: OutcomeCommitter,
        codes: ResponseCodes,
        replies: Replies,
        counts: PipelineCounts,
        inbox: Inbox[Settlement],
        reconsider: Callable[[Payment], None],
        orphans: Inbox[Orphan],
        resend: Callable[[Payment], bool],
        now_us: Callable[[], int],
    ) -> None:
        self._committer = committer
        self._codes = codes
        self._replies = replies
        self._counts = counts
        self._inbox = inbox
        self._reconsider = reconsider
        self._orphans = orphans
        self._resend = resend
        self._now_us = now_us

    def on_events(self, network: str, events: list[LinkEvent]) -> None:
        """Called by a link group with what one receive or one tick brought; synchronous."""
        settlements: list[Settlement] = []
        for event in events:
            if isinstance(event, Answered):
                payment = event.token
                decision = judge_answer(payment.request, event.fields, self._codes)
                settlements.append(Settlement(payment, decision, 1))
            elif isinstance(event, Unknown):
                settlements.append(Settlement(event.token, unknown(event.reason), 1))
            elif isinstance(event, NotSent):
                if not self._resend(event.token):
                    settlements.append(Settlement(event.token, not_sent(event.reason), 1))
            elif isinstance(event, Late):
                settlements.extend(self._late(event))
            elif isinstance(event, Duplicate):
                self._duplicate(network, event)
            elif isinstance(event, Unmatched):
                self._unmatched(network, event)
        if settlements:
            self._inbox.put_many(settlements)

    def not_sent(self, payment: Payment, reason: str) -> None:
        """An attempt that was recorded but could not be put on the wire."""
        self._inbox.put(Settlement(payment, not_sent(reason), 1))

    async def handle(self, batch: list[Settlement]) -> None:
        """Record a batch of outcomes and answer those that were waited for."""
        rest = batch
        while rest:
            ready, rest = split_distinct(rest, _intent)
            now_us = self._now_us()
            results = await self._committer.settle([self._row(s, now_us) for s in ready])
            self._counts.commit2_batches_total += 1
            self._counts.commit2_rows_total += len(ready)
            for settlement, result in zip(ready, results, strict=True):
                self._finish(settlement, result, now_us)

    def _finish(self, settlement: Settlement, result: Settled, now_us: int) -> None:
        payment, decision = settlement.payment, settlement.decision
        payment.forget_card(final=decision.result != "unknown")
        if not result.advanced:
            # Somebody else has decided meanwhile; what stands is in the ledger.
            self._counts.not_advanced_total += 1
            log.warning(
                "outcome_not_advanced",
                transaction=payment.record.transaction_id.hex() if payment.record else "",
                phase=settlement.phase,
                result=decision.result,
            )
            if settlement.phase == 1:
                self._reconsider(payment)
            return
        if settlement.phase == 2:
            self._counts.late_adopted_total += 1
            return
        self._counts.count_outcome(decision.result)
        payment.decision = decision
        self._replies.done(payment, state_of_payment(payment, decision.transaction_to, now_us))

    def _row(self, settlement: Settlement, now_us: int) -> OutcomeToRecord:
        payment, decision = settlement.payment, settlement.decision
        record = payment.record
        if record is None:
            raise RuntimeError("an outcome belongs to a recorded attempt")
        return OutcomeToRecord(
            attempt_id=record.attempt_id,
            transaction_id=record.transaction_id,
            intent_id=record.intent_id,
            phase=settlement.phase,
            result=decision.result,
            from_status="pending" if settlement.phase == 1 else "pending_verification",
            to_status=decision.transaction_to,
            intent_to=decision.intent_to,
            response_code=decision.response_code,
            approval_code=decision.approval_code,
            decline_code=decision.decline_code,
            advice=decision.advice,
            actor=f"network:{record.network}" if decision.reason == "answered" else "switch",
            request_id=record.request_id,
            at_us=now_us,
        )

    def _late(self, event: Late) -> list[Settlement]:
        payment = event.token
        decision = judge_answer(payment.request, event.fields, self._codes)
        if decision.result == "unknown":
            log.warning("late_answer_undecided", network=payment.network, reason=decision.reason)
            return []
        return [Settlement(payment, decision, 2)]

    def _duplicate(self, network: str, event: Duplicate) -> None:
        if event.first_code != event.fields.get(39, ""):
            log.error("second_answer_differs", network=network, rrn=event.fields.get(37, ""))

    def _unmatched(self, network: str, event: Unmatched) -> None:
        self._counts.unmatched_total += 1
        if len(self._orphans) < ORPHANS_MAX:
            self._orphans.put((network, event.fields))


def _intent(settlement: Settlement) -> bytes:
    return settlement.payment.charge.intent_id
