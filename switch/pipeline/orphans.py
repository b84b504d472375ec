"""Answers that match nothing in flight: adopted where recovery explains them.

After a restart the switch finds attempts without outcome and makes them unknown; their answers may
still arrive, on a new connection, and match nothing in flight. Recovery hands its attempts to this
stage, which adopts such an answer like any late one: phase 2, by compare-and-set. An approval that
nothing explains may be money moved without a record and is logged as an alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from chassis.log import get_logger
from ledger.money import numeric_currency
from ledger.outcomes import OutcomeCommitter
from ledger.records import OutcomeToRecord
from ledger.recovery import OpenAttempt
from switch.core.batching import split_distinct
from switch.core.decide import Decision, judge_answer
from switch.core.messages import PROCESSING_CODE_SALE
from switch.core.response_codes import ResponseCodes
from switch.pipeline.payment import PipelineCounts

log = get_logger(__name__)
ORPHANS_MAX = 1_024  # a network that sends more at once is at fault; the rest are counted only

Orphan = tuple[str, dict[int, str]]  # network, the answer's fields
AttemptKey = tuple[str, str, str, str]  # network, rrn, stan, de7


class _Match(Struct, gc=False):
    attempt: OpenAttempt
    decision: Decision


class Orphans:
    """The stage behind unmatched answers.

    Args:
        recovered: what recovery made unknown, by (network, rrn, stan, de7).
        codes: the DE 39 table.
        committer: of this stage alone.
        counts: the pipeline's.
        now_us: microseconds since 1970.
    """

    def __init__(
        self,
        *,
        recovered: Mapping[AttemptKey, OpenAttempt],
        codes: ResponseCodes,
        committer: OutcomeCommitter,
        counts: PipelineCounts,
        now_us: Callable[[], int],
    ) -> None:
        self._recovered = recovered
        self._codes = codes
        self._committer = committer
        self._counts = counts
        self._now_us = now_us

    async def handle(self, batch: list[Orphan]) -> None:
        """Adopt what recovery explains, raise the alarm for approvals it does not."""
        matches: list[_Match] = []
        for network, fields in batch:
            rrn, stan, de7 = fields.get(37, ""), fields.get(11, ""), fields.get(7, "")
            attempt = self._recovered.get((network, rrn, stan, de7))
            if attempt is not None:
                decision = judge_answer(sent_fields(attempt, fields), fields, self._codes)
                if decision.result != "unknown":
                    matches.append(_Match(attempt, decision))
            elif self._codes.look_up(fields.get(39, "")).code_class == "approve":
                log.critical("approval_without_attempt", network=network, rrn=rrn)
        while matches:
            ready, matches = split_distinct(matches, lambda match: match.attempt.intent_id)
            now_us = self._now_us()
            results = await self._committer.settle([_row(match, now_us) for match in ready])
            self._counts.late_adopted_total += sum(result.advanced for result in results)


def sent_fields(attempt: OpenAttempt, answer: dict[int, str]) -> dict[int, str]:
    """What the attempt sent, as far as the ledger knows it, for the echo check.

    The merchant's elements (DE 41, 42) are taken from the answer: the attempt does not hold them.
    """
    fields = {
        3: PROCESSING_CODE_SALE,
        4: f"{attempt.amount_minor:012d}",
        7: attempt.de7,
        11: attempt.stan,
        32: attempt.acquirer_id,
        37: attempt.rrn,
        49: numeric_currency(attempt.currency),
    }
    for de in (41, 42):
        if de in answer:
            fields[de] = answer[de]
    return fields


def _row(match: _Match, now_us: int) -> OutcomeToRecord:
    attempt, decision = match.attempt, match.decision
    return OutcomeToRecord(
        attempt_id=attempt.attempt_id,
        transaction_id=attempt.transaction_id,
        intent_id=attempt.intent_id,
        phase=2,
        result=decision.result,
        from_status="pending_verification",
        to_status=decision.transaction_to,
        intent_to=decision.intent_to,
        response_code=decision.response_code,
        approval_code=decision.approval_code,
        decline_code=decision.decline_code,
        advice=decision.advice,
        actor=f"network:{attempt.network}",
        request_id=attempt.request_id,
        at_us=now_us,
    )
