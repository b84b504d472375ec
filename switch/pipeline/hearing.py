"""Network events to findings, and findings to where they are recorded.

Link groups hand in their events as they happen. What is known of a charge after its first answer,
its silence or its failure goes to commit 2, unless it takes more than that: an approval of a part
that nobody wants is reversed, an issuer that is away is tried again, a message that could not leave
goes over another network. A late answer, and a second one, are decided on what the ledger holds.
Events about other messages are not for the pipeline.

The card is dropped when the event arrives, not when its outcome is durable: the commit may have to
wait for the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from chassis.log import get_logger
from chassis.stage import Inbox
from ledger.records import Lost
from switch.carriers import Carrier
from switch.core.findings import Finding, judge_request, not_sent, unknown
from switch.core.operations.records import Conclusion
from switch.core.operations.reversals import NOT_CONFIRMED, RETRY_LATER
from switch.core.response_codes import ResponseCodes
from switch.core.settlements import VERIFIED
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
from switch.pipeline.aftermath import Aftermath
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.completing import Completing, Completion
from switch.pipeline.orphans import ORPHANS_MAX, Orphan
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies, state_of_row
from switch.pipeline.retrying import Retrying
from switch.pipeline.settling import Settlement

log = get_logger(__name__)

IN_PROGRESS = "09"  # DE 39: the time starts over, once

# What another link of the group may mend. A message that is too old, does not fit a frame or has
# the key of another one is refused by every link.
MENDED_BY_ANOTHER_LINK = frozenset({"link_lost", "signed_off", "no_link", "outbox_full"})


class Hearing:
    """Hears what the links tell.

    Args:
        carriers: by network name.
        codes: the DE 39 table.
        replies: answers what is concluded elsewhere.
        settling: the inbox of commit 2.
        orphans: the inbox of answers that nothing in flight explains.
        completing: captures what is to be captured by a message of its own.
        retrying: makes second attempts.
        resend: puts an unsent message on another link.
        aftermath: decides what takes more.
        counts: the pipeline's.
        anomalies: the process's.
        now_us: microseconds since 1970.
    """

    def __init__(
        self,
        *,
        carriers: Mapping[str, Carrier],
        codes: ResponseCodes,
        replies: Replies,
        settling: Inbox[Settlement],
        orphans: Inbox[Orphan],
        completing: Completing,
        retrying: Retrying,
        resend: Callable[[Payment], bool],
        aftermath: Aftermath,
        counts: PipelineCounts,
        anomalies: Anomalies,
        now_us: Callable[[], int],
    ) -> None:
        self._carriers = carriers
        self._codes = codes
        self._replies = replies
        self._settling = settling
        self._orphans = orphans
        self._completing = completing
        self._retrying = retrying
        self._resend = resend
        self._aftermath = aftermath
        self._counts = counts
        self._anomalies = anomalies
        self._now_us = now_us

    def on_events(self, network: str, events: list[LinkEvent]) -> None:
        """Called by a link group with what one receive or one tick brought; synchronous, total."""
        settlements: list[Settlement] = []
        now_us = self._now_us()
        for event in events:
            settlement: Settlement | None = None
            if isinstance(event, Answered):
                token = event.token
                if type(token) is Payment:
                    settlement = self._answered(network, token, event.fields, now_us)
                else:
                    self._other(event)
            elif isinstance(event, Unknown | NotSent | Late):
                if type(event.token) is Payment:
                    settlement = self._unanswered(network, event, now_us)
                else:
                    self._other(event)
            else:
                self._stray(network, event)
            if settlement is not None:
                settlements.append(settlement)
        if settlements:
            self._settling.put_many(settlements)

    def settle(self, payment: Payment, finding: Finding) -> None:
        """Record what is known of a charge that came to no link, or that a link failed at."""
        self._settling.put(self._first(payment, finding))

    # ---------------------------------------------------------------------------------- answered

    def _answered(
        self, network: str, payment: Payment, fields: Fields, now_us: int
    ) -> Settlement | None:
        finding = self._judge(network, payment, fields, now_us)
        if finding.result != "approved":
            return self._not_approved(network, payment, fields, finding)
        completion = None
        if payment.completed:
            completion = self._completing.prepare(payment, finding)
            if completion is None:
                self._conclude(payment, finding)
                return None
        payment.card = None
        return Settlement(payment, finding, completion)

    def _not_approved(
        self, network: str, payment: Payment, fields: Fields, finding: Finding
    ) -> Settlement | None:
        self._look_into(payment, finding)
        if finding.result == "unknown":
            group = self._carriers[network].group
            if finding.response_code == IN_PROGRESS and not payment.waited:
                payment.waited = True
                self._counts.waited_total += 1
                group.keep_waiting(fields, payment)
                return None
            group.doubt(fields, payment)
        elif finding.result == "declined":
            if self._retrying.consider(payment, finding):
                return None
        elif not payment.allow_partial:
            self._counts.taken_back_total += 1
            self._conclude(payment, finding)
            return None
        elif payment.completed:
            completion = self._completing.prepare(payment, finding)
            if completion is None:
                self._conclude(payment, finding)
                return None
            payment.card = None
            return Settlement(payment, finding, completion)
        return self._first(payment, finding)

    def _first(self, payment: Payment, finding: Finding) -> Settlement:
        """The first result of an attempt: its card is needed no more."""
        payment.card = None
        if finding.result == "unknown" and payment.settlements is VERIFIED:
            finding = replace(finding, decline_code=NOT_CONFIRMED, advice=RETRY_LATER)
        return Settlement(payment, finding)

    def _judge(self, network: str, payment: Payment, fields: Fields, now_us: int) -> Finding:
        """What an answer says; whatever goes wrong here leaves the outcome in doubt."""
        card = payment.card
        try:
            return judge_request(
                payment.request or {},  # nothing sent echoes nothing
                fields,
                codes=self._codes,
                echoes=self._carriers[network].echoes,
                now_us=now_us,
                pan=card.pan if card is not None else "",
            )
        except Exception as error:  # noqa: BLE001  one payment's fault is its own (design 3)
            self._counts.errors_total += 1
            self._anomalies.tell(log.error, "answer_not_judged", error=type(error).__name__)
            return unknown("internal_error")

    def _look_into(self, payment: Payment, finding: Finding) -> None:
        """Tell of answers that a person should see; what the merchant hears is decided."""
        if finding.result == "unknown":
            write, event = log.warning, "answer_in_doubt"
        elif self._codes.is_alarming(finding.response_code):
            self._counts.alarming_codes_total += 1
            write, event = log.error, "alarming_response_code"
        else:
            return
        self._anomalies.tell(
            write,
            event,
            network=payment.network,
            transaction=payment.transaction_hex,
            reason=finding.reason,
            code=finding.response_code,
        )

    # ------------------------------------------------------------------------- decided elsewhere

    def _conclude(self, payment: Payment, finding: Finding) -> None:
        """Have a first result decided under the intent's lock, and answer with what it came to."""
        payment.card = None
        record = payment.record
        if record is None:
            raise RuntimeError("an answer belongs to a recorded attempt")
        self._aftermath.tell(
            record.intent_id,
            record.attempt_id,
            record.network,
            finding,
            f"network:{record.network}",
            lambda answer: self._concluded(payment, answer),
        )

    def _concluded(self, payment: Payment, answer: Conclusion | Lost) -> None:
        if isinstance(answer, Conclusion):
            self._replies.done(payment, state_of_row(answer.transaction))
        else:  # recorded, so its repeat finds it in the ledger
            self._replies.refuse(payment, "internal_error")

    # ------------------------------------------------------------------------- no answer, or late

    def _unanswered(
        self, network: str, event: Unknown | NotSent | Late, now_us: int
    ) -> Settlement | None:
        payment: Payment = event.token
        if isinstance(event, Unknown):
            return self._first(payment, unknown(event.reason))
        if isinstance(event, Late):
            self._late(network, payment, event.fields, now_us)
            return None
        if event.reason in MENDED_BY_ANOTHER_LINK and self._resend(payment):
            return None
        finding = not_sent(event.reason)
        return None if self._retrying.consider(payment, finding) else self._first(payment, finding)

    def _late(self, network: str, payment: Payment, fields: Fields, now_us: int) -> None:
        finding = self._judge(network, payment, fields, now_us)
        record = payment.record
        if finding.result == "unknown" or record is None:
            self._look_into(payment, finding)
            self._counts.late_undecided_total += 1
            self._carriers[network].group.doubt(fields, payment)
            return
        self._aftermath.tell(
            record.intent_id,
            record.attempt_id,
            record.network,
            finding,
            f"network:{record.network}",
            self._adopted,
        )

    def _adopted(self, answer: Conclusion | Lost) -> None:
        if isinstance(answer, Conclusion) and answer.moved:
            self._counts.late_adopted_total += 1

    # ------------------------------------------------------------------------------------ others

    def _other(self, event: Answered | Unknown | NotSent | Late) -> None:
        if isinstance(event.token, Completion):
            self._completing.on_event(event)
        else:
            self._aftermath.on_event(event)

    def _stray(self, network: str, event: LinkEvent) -> None:
        if isinstance(event, Duplicate):
            self._duplicate(network, event)
        elif isinstance(event, Unmatched):
            self._counts.unmatched_total += 1
            if is_response(event.fields[0]):  # else a request of theirs, or ours sent back
                self._orphaned(Orphan(network, event.key, event.fields))
        elif isinstance(event, Elsewhere):
            # Its message waits on: what another link says is not for us to take.
            self._anomalies.tell(
                log.error,
                "answer_on_another_link",
                network=network,
                rrn=event.fields.get(37, ""),
                link=event.link,
                sent_on=event.sent_on,
            )

    def _duplicate(self, network: str, event: Duplicate) -> None:
        """A second answer: where it says something else, the ledger knows what the first did."""
        if event.first_code == event.fields.get(39, ""):
            return
        self._counts.contradictions_total += 1
        self._anomalies.tell(
            log.error, "second_answer_differs", network=network, rrn=event.fields.get(37, "")
        )
        self._orphaned(Orphan(network, event.key, event.fields, second=True))

    def _orphaned(self, orphan: Orphan) -> None:
        if len(self._orphans) < ORPHANS_MAX:
            self._orphans.put(orphan)
        else:
            self._counts.orphans_dropped_total += 1
