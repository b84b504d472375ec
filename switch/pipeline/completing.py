"""Captures that follow their charges at once, on networks that capture by a message of its own.

The 0220 of a charge is prepared when its 0110 arrives, while the card is in memory, recorded by the
commit that makes the charge succeed, and leaves when that stands. Its place in store-and-forward is
part of the same commit, with this first sending counted; so if no link takes it now, or nobody
answers, it is repeated from there, and this stage forgets it. What it usually does is record
acknowledgments, in batches and without any intent's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from msgspec import Struct

from chassis.log import get_logger
from chassis.stage import Inbox
from ledger.completions import Acknowledgment, CompletionCommitter
from ledger.records import CompletionToRecord, Lost
from switch.carriers import Carrier
from switch.core.findings import Finding, judge_advice, unknown
from switch.core.messages_following import Card, Numbers, Original, following_message
from switch.core.numbers import NumbersExhaustedError
from switch.core.operations.records import Conclusion
from switch.core.response_codes import ResponseCodes
from switch.iso8583.mti import FINANCIAL_ADVICE
from switch.link.correlation import correlation_key
from switch.link.events import Answered, CorrelationKey, Fields, Late, LinkEvent
from switch.pipeline.aftermath import Aftermath
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.payment import Payment, PipelineCounts

log = get_logger(__name__)

CARD_ELEMENTS = (2, 14)
ACKNOWLEDGMENTS_MAX = 16_384  # that wait for the ledger; more are heard again on the repeat


class Completion(Struct, gc=False):
    """A 0220 between its charge's answer and its own."""

    record: CompletionToRecord
    intent_id: bytes
    network: str
    fields: Fields  # as sent, without the card, for the echo check
    key: CorrelationKey
    frame: bytes  # dropped once it has been handed over


class Completing:
    """Prepares, sends and acknowledges completions.

    Args:
        carriers: by network name.
        codes: the DE 39 table.
        committer: of this stage alone.
        acknowledgments: its inbox.
        aftermath: decides what is no acknowledgment.
        counts: the pipeline's.
        anomalies: the process's.
        now_us: microseconds since 1970.
    """

    def __init__(
        self,
        *,
        carriers: Mapping[str, Carrier],
        codes: ResponseCodes,
        committer: CompletionCommitter,
        acknowledgments: Inbox[Acknowledgment],
        aftermath: Aftermath,
        counts: PipelineCounts,
        anomalies: Anomalies,
        now_us: Callable[[], int],
    ) -> None:
        self._carriers = carriers
        self._codes = codes
        self._committer = committer
        self._acknowledgments = acknowledgments
        self._aftermath = aftermath
        self._counts = counts
        self._anomalies = anomalies
        self._now_us = now_us

    def prepare(self, payment: Payment, finding: Finding) -> Completion | None:
        """Number and encode the completion of an approved charge.

        None where that cannot be done now: the approval is then decided under the intent's lock,
        which puts the completion into store-and-forward.
        """
        record, card, acceptor = payment.record, payment.card, payment.acceptor
        if record is None or card is None or acceptor is None:
            return None  # the card was dropped: the answer came when it hardly could any more
        try:
            spare = self._aftermath.spare(payment.network)
            carrier = self._carriers[payment.network]
            numbers = Numbers(spare.stan, spare.de7, record.rrn, record.acquirer_id)
            authorization = Numbers(record.stan, record.de7, record.rrn, record.acquirer_id)
            fields = following_message(
                mti=FINANCIAL_ADVICE,
                card=Card(card.pan, card.expiry),
                amount_minor=finding.approved_minor or payment.amount_minor,
                currency=payment.currency,
                numbers=numbers,
                acceptor=acceptor,
                policy=carrier.dialect.policy,
                original=Original(record.mti, authorization, finding.approval_code),
            )
            frame = carrier.encode(fields)
            key = correlation_key(fields)
        except NumbersExhaustedError:
            return None
        except Exception as error:  # noqa: BLE001  one payment's fault is its own (design 3)
            self._counts.errors_total += 1
            self._anomalies.tell(
                log.error,
                "completion_not_prepared",
                network=payment.network,
                transaction=payment.transaction_hex,
                error=type(error).__name__,
            )
            return None
        for de in CARD_ELEMENTS:
            fields.pop(de, None)
        to_record = CompletionToRecord(
            spare.attempt_id,
            FINANCIAL_ADVICE,
            spare.stan,
            spare.de7,
            spare.deadline_at_us,
        )
        return Completion(to_record, record.intent_id, payment.network, fields, key, frame)

    def send(self, completion: Completion) -> None:
        """Hand over a completion that is recorded; without a slot it is left to its queue."""
        self._counts.completions_total += 1
        group = self._carriers[completion.network].group
        slot = group.reserve()
        frame, completion.frame = completion.frame, b""
        if slot is None:
            self._counts.completions_deferred_total += 1
            return
        try:
            group.send(slot, completion.key, frame, completion, trio.current_time())
        except Exception as error:  # noqa: BLE001  as above; its queue sends it again
            self._counts.errors_total += 1
            self._anomalies.tell(log.error, "message_not_handed_over", error=type(error).__name__)

    def on_event(self, event: LinkEvent) -> None:
        """Take an event about a completion; silence is its queue's to mend."""
        if isinstance(event, Answered | Late):
            self._answered(event.token, event.fields)

    def _answered(self, completion: Completion, answer: Fields) -> None:
        finding = self._judge(completion, answer)
        record, actor = completion.record, f"network:{completion.network}"
        if finding.result == "approved":
            if len(self._acknowledgments) < ACKNOWLEDGMENTS_MAX:
                self._acknowledgments.put(
                    Acknowledgment(
                        record.attempt_id,
                        completion.intent_id,
                        finding.response_code,
                        actor,
                        self._now_us(),
                        finding.approval_code,
                        finding.settles_on,
                    )
                )
        elif finding.result not in ("unknown", "retry"):
            self._aftermath.tell(
                completion.intent_id,
                record.attempt_id,
                completion.network,
                finding,
                actor,
                _nobody,
            )

    def _judge(self, completion: Completion, answer: Fields) -> Finding:
        try:
            finding = judge_advice(
                completion.fields,
                answer,
                codes=self._codes,
                echoes=self._carriers[completion.network].echoes,
                now_us=self._now_us(),
            )
        except Exception as error:  # noqa: BLE001  one answer's fault is its own (design 3)
            self._counts.errors_total += 1
            self._anomalies.tell(log.error, "answer_not_judged", error=type(error).__name__)
            return unknown("internal_error")
        if finding.result == "unknown":
            self._carriers[completion.network].group.doubt(answer, completion)
            self._anomalies.tell(
                log.warning,
                "answer_in_doubt",
                network=completion.network,
                mti=FINANCIAL_ADVICE,
                reason=finding.reason,
                code=finding.response_code,
            )
        return finding

    async def handle(self, batch: list[Acknowledgment]) -> None:
        """Record a batch of acknowledgments."""
        unique = {each.attempt_id: each for each in batch}
        await self._committer.acknowledge(list(unique.values()))


def _nobody(_answer: Conclusion | Lost) -> None:
    """Stand where nobody waits for a conclusion."""
