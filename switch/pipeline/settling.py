"""Network events to outcomes, commit 2, replies.

Link groups hand in their events as they happen; this stage turns a batch of them into outcomes,
records them in one commit and answers. A payment whose outcome is `unknown` is answered as pending
and forgotten here; should its answer arrive late, or a better one after one that decided nothing,
the event still carries the payment, and the outcome is adopted as phase 2 by compare-and-set. The
inbox is in order, so a late answer never overtakes the `unknown` that it resolves.

An outcome whose intent somebody sits on is handed over to `Held`, and everything of that intent
after it, so that the others need not wait.

The card is dropped when the event arrives, not when its outcome is durable: the commit may have to
wait for the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

import trio
from msgspec import Struct

from chassis.crash_points import AFTER_COMMIT_2, AFTER_REPLY, BEFORE_COMMIT_2, reach
from chassis.log import get_logger
from chassis.stage import Inbox
from ledger.outcomes import OutcomeCommitter
from ledger.records import OutcomeToRecord, Replay, Settled
from switch.core.batching import split_distinct
from switch.core.decide import Decision, judge_answer, not_sent, unknown
from switch.core.response_codes import ResponseCodes
from switch.iso8583.mti import is_response
from switch.link.events import (
    Answered,
    Duplicate,
    Elsewhere,
    Fields,
    Late,
    LinkEvent,
    NotSent,
    Unknown,
    Unmatched,
)
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.held import Held
from switch.pipeline.lookup import FindReplays
from switch.pipeline.orphans import ORPHANS_MAX, Orphan
from switch.pipeline.patience import patiently
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies, state_of_payment, state_of_row

log = get_logger(__name__)
HELD_BATCH_MAX = 64
HELD_RETRY_S = 0.05  # between two tries while nothing of what is held could be committed

# What another link of the group may mend. A message that is too old, does not fit a frame or has
# the key of another one is refused by every link.
MENDED_BY_ANOTHER_LINK = frozenset({"link_lost", "signed_off", "no_link", "outbox_full"})


class Settlement(Struct, gc=False):
    """A decision about a payment, to be made durable."""

    payment: Payment
    decision: Decision
    phase: int
    row: OutcomeToRecord | None = None  # made once: by it an earlier run of its commit is known


class Settling:
    """Commit 2 and the answer."""

    def __init__(
        self,
        *,
        committer: OutcomeCommitter,
        held_committer: OutcomeCommitter,
        find_replays: FindReplays,
        codes: ResponseCodes,
        replies: Replies,
        counts: PipelineCounts,
        anomalies: Anomalies,
        inbox: Inbox[Settlement],
        orphans: Inbox[Orphan],
        resend: Callable[[Payment], bool],
        doubt: Callable[[str, Fields, Payment], None],
        now_us: Callable[[], int],
    ) -> None:
        self._committer = committer
        self._held_committer = held_committer
        self._find_replays = find_replays
        self._codes = codes
        self._replies = replies
        self._counts = counts
        self._anomalies = anomalies
        self._inbox = inbox
        self._orphans = orphans
        self._resend = resend
        self._doubt = doubt
        self._now_us = now_us
        self.held: Held[Settlement] = Held()

    def on_events(self, network: str, events: list[LinkEvent]) -> None:
        """Called by a link group with what one receive or one tick brought; synchronous, total."""
        settlements: list[Settlement] = []
        for event in events:
            if isinstance(event, Answered):
                settlements.append(self._answered(network, event))
            elif isinstance(event, Unknown):
                settlements.append(self._first(event.token, unknown(event.reason)))
            elif isinstance(event, NotSent):
                if event.reason not in MENDED_BY_ANOTHER_LINK or not self._resend(event.token):
                    settlements.append(self._first(event.token, not_sent(event.reason)))
            elif isinstance(event, Late):
                settlements.extend(self._late(network, event))
            elif isinstance(event, Duplicate):
                self._duplicate(network, event)
            elif isinstance(event, Unmatched):
                self._unmatched(network, event)
            else:
                self._elsewhere(network, event)
        if settlements:
            self._inbox.put_many(settlements)

    def settle(self, payment: Payment, decision: Decision) -> None:
        """Record the first result of an attempt that came to no link, or that a link failed at."""
        self._inbox.put(self._first(payment, decision))

    async def handle(self, batch: list[Settlement]) -> None:
        """Record a batch of outcomes and answer those that were waited for."""
        rest = self._unclaimed(batch)
        while rest:
            ready, rest = split_distinct(rest, _intent)
            for settlement in await self._commit(ready, self._committer):
                self._counts.held_total += 1
                self.held.put(_intent(settlement), settlement)
            rest = self._unclaimed(rest)

    async def settle_held(self) -> None:
        """Record what is held as its locks become free, until `held` is closed and empty."""
        while heads := await self.held.heads(HELD_BATCH_MAX):
            settlements = [settlement for _, settlement in heads]
            undecided = {id(s) for s in await self._commit(settlements, self._held_committer)}
            for intent_id, settlement in heads:
                if id(settlement) in undecided:
                    self.held.put_back(intent_id)
                else:
                    self.held.done(intent_id)
            if len(undecided) == len(heads):
                await trio.sleep(HELD_RETRY_S)

    def _unclaimed(self, batch: list[Settlement]) -> list[Settlement]:
        """What need not queue up behind an outcome of its intent that is held."""
        if not len(self.held):
            return batch
        return [s for s in batch if not self.held.claim(_intent(s), s)]

    async def _commit(
        self, ready: Sequence[Settlement], committer: OutcomeCommitter
    ) -> list[Settlement]:
        """Record and answer; gives back what somebody's lock kept from being recorded."""
        now_us = self._now_us()
        reach(BEFORE_COMMIT_2)
        results = await committer.settle_free([s.row or _row(s, now_us) for s in ready])
        reach(AFTER_COMMIT_2)
        self._counts.commit2_batches_total += 1
        undecided: list[Settlement] = []
        overtaken: list[Payment] = []
        for settlement, result in zip(ready, results, strict=True):
            if result is None:
                undecided.append(settlement)
            elif not self._finish(settlement, result, now_us) and settlement.phase == 1:
                overtaken.append(settlement.payment)
        reach(AFTER_REPLY)
        self._counts.commit2_rows_total += len(ready) - len(undecided)
        if overtaken:
            await self._answer_from_ledger(overtaken)
        return undecided

    def _finish(self, settlement: Settlement, result: Settled, now_us: int) -> bool:
        """Count an outcome and answer its payment; False where it was not written."""
        payment, decision = settlement.payment, settlement.decision
        if not result.advanced:
            self._counts.not_advanced_total += 1
            self._anomalies.tell(
                log.warning,
                "outcome_not_advanced",
                transaction=payment.transaction_hex,
                phase=settlement.phase,
                result=decision.result,
                intent_status=result.intent_status,
            )
            return False
        if settlement.phase == 2:
            self._counts.late_adopted_total += 1
            return True
        self._counts.count_outcome(decision.result)
        payment.decision = decision
        self._replies.done(payment, state_of_payment(payment, decision.transaction_to, now_us))
        return True

    async def _answer_from_ledger(self, payments: list[Payment]) -> None:
        """Answer payments that somebody else has decided meanwhile, as the ledger has them.

        They are recorded and may have been charged, so they are never refused for a ledger that is
        away: this waits for it, as commit 2 does.
        """
        keys = [
            (p.charge.merchant_id, p.charge.key_digest, p.charge.request_hash) for p in payments
        ]
        found = await patiently(lambda: self._find_replays(keys))
        for payment, known in zip(payments, found, strict=True):
            if isinstance(known, Replay):
                self._replies.done(payment, state_of_row(known.transaction))
            else:
                self._counts.errors_total += 1
                self._anomalies.tell(log.error, "recorded_charge_not_found")
                self._replies.refuse(payment, "internal_error")

    def _first(self, payment: Payment, decision: Decision) -> Settlement:
        """The first result of an attempt: its card is needed no more."""
        payment.card = None
        return Settlement(payment, decision, 1)

    def _answered(self, network: str, event: Answered) -> Settlement:
        decision = self._judge(event.token, event.fields)
        if decision.result == "unknown":
            self._doubt(network, event.fields, event.token)
        return self._first(event.token, decision)

    def _judge(self, payment: Payment, fields: Fields) -> Decision:
        """What an answer says; whatever goes wrong here leaves the outcome in doubt."""
        card = payment.card
        try:
            decision = judge_answer(
                payment.request or {},  # nothing sent echoes nothing
                fields,
                self._codes,
                pan=card.pan if card is not None else "",
            )
        except Exception as error:  # noqa: BLE001  one payment's fault is its own (design 3)
            self._counts.errors_total += 1
            self._anomalies.tell(log.error, "answer_not_judged", error=type(error).__name__)
            return unknown("internal_error")
        if decision.result != "approved":
            self._look_into(payment, decision)
        return decision

    def _look_into(self, payment: Payment, decision: Decision) -> None:
        """Tell of answers that a person should see; what the merchant hears is decided."""
        if decision.result == "unknown":
            write, event = log.warning, "answer_in_doubt"
        elif self._codes.is_alarming(decision.response_code):
            self._counts.alarming_codes_total += 1
            write, event = log.error, "alarming_response_code"
        else:
            return
        self._anomalies.tell(
            write,
            event,
            network=payment.network,
            transaction=payment.transaction_hex,
            reason=decision.reason,
            code=decision.response_code,
        )

    def _late(self, network: str, event: Late) -> list[Settlement]:
        payment = event.token
        decision = self._judge(payment, event.fields)
        if decision.result != "unknown":
            return [Settlement(payment, decision, 2)]
        self._doubt(network, event.fields, payment)
        self._counts.late_undecided_total += 1
        return []

    def _duplicate(self, network: str, event: Duplicate) -> None:
        if event.first_code != event.fields.get(39, ""):
            self._counts.contradictions_total += 1
            self._anomalies.tell(
                log.error, "second_answer_differs", network=network, rrn=event.fields.get(37, "")
            )

    def _elsewhere(self, network: str, event: Elsewhere) -> None:
        """Its message waits on: what another link says is not for us to take."""
        self._anomalies.tell(
            log.error,
            "answer_on_another_link",
            network=network,
            rrn=event.fields.get(37, ""),
            link=event.link,
            sent_on=event.sent_on,
        )

    def _unmatched(self, network: str, event: Unmatched) -> None:
        self._counts.unmatched_total += 1
        if not is_response(event.fields[0]):
            return  # a request of theirs, or our own sent back: it answers nothing
        if len(self._orphans) < ORPHANS_MAX:
            self._orphans.put(Orphan(network, event.key, event.fields))
        else:
            self._counts.orphans_dropped_total += 1


def _row(settlement: Settlement, now_us: int) -> OutcomeToRecord:
    payment, decision = settlement.payment, settlement.decision
    record = payment.record
    if record is None:
        raise RuntimeError("an outcome belongs to a recorded attempt")
    # In the order of its fields: by name it takes 0.4 µs more.
    row = settlement.row = OutcomeToRecord(
        record.attempt_id,
        record.transaction_id,
        record.intent_id,
        settlement.phase,
        decision.result,
        "pending" if settlement.phase == 1 else "pending_verification",  # from_status
        decision.transaction_to,
        decision.intent_to,
        decision.response_code,
        decision.approval_code,
        f"network:{record.network}" if decision.reason == "answered" else "switch",  # actor
        record.request_id,
        now_us,
        decision.decline_code,
        decision.advice,
    )
    return row


_intent: Callable[[Settlement], bytes] = attrgetter("payment.charge.intent_id")
