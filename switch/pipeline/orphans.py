"""Answers that match nothing in flight, and second answers: what the ledger makes of them.

After a restart the switch finds attempts without outcome and makes them unknown; links forget an
unanswered message after a while. Answers that come then match nothing in flight and are looked up
in the ledger by network, RRN, STAN and DE 7 (money.md 6). What one says about an attempt of ours is
decided like any late answer. It must have the very key that links match by, so that an answer of
another class or function, or to another acquirer id, explains nothing.

A second answer that says something else than the first comes here too, once the first has been
recorded: the first stands, and the ledger knows what it was.

An approval that nothing explains may be money moved without a record: it is logged as an alarm and
opens an exception for a person to close. Each is opened once, and a network that sends them without
end fills no table: past a number a minute they are counted and told of only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NoReturn

import trio
from msgspec import Struct

from chassis.log import get_logger
from chassis.stage import Inbox
from ledger.deciding.records import NewException
from ledger.money import numeric_currency
from ledger.records import Lost
from ledger.recovery import AnswerNumbers, OpenAttempt
from switch.carriers import Carrier
from switch.core.findings import (
    Finding,
    judge_advice,
    judge_inquiry,
    judge_request,
    unknown,
)
from switch.core.messages import PROCESSING_CODE_SALE, PROCESSING_CODE_VERIFICATION
from switch.core.messages_following import (
    PROCESSING_CODE_REFUND,
    Numbers,
    Original,
    original_data,
)
from switch.core.numbers import is_rrn, rrn_time_us
from switch.core.operations.records import Conclusion
from switch.core.operations.settling import NO_RESULT_YET
from switch.core.response_codes import ResponseCodes
from switch.link.correlation import correlation_key
from switch.link.events import CorrelationKey, Fields
from switch.pipeline.aftermath import Aftermath
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.patience import patiently
from switch.pipeline.payment import PipelineCounts

log = get_logger(__name__)
ORPHANS_MAX = 1_024  # a network that sends more at once is at fault; the rest are counted only
EARLY_S = 0.2  # until a second answer whose first is not recorded yet is looked at again
TRIES_MAX = 50  # of those looks: ten seconds, in which the ledger comes back or this process ends
PROCESSING_CODES: Final = {  # DE 3, by the type of a transaction
    "refund": PROCESSING_CODE_REFUND,
    "verification": PROCESSING_CODE_VERIFICATION,
}

MOVES_MONEY: Final = "124"  # classes of messages: 00 to an inquiry or to totals approves nothing
UNEXPLAINED_PER_MINUTE_MAX: Final = 600  # exceptions opened: more than any person looks into
UNEXPLAINED_KEPT_MAX: Final = 4_096  # keys by which the same approval is known again
DETAIL_ELEMENTS: Final = {  # what a person needs to ask the network about it
    4: "amount",
    7: "de7",
    11: "stan",
    32: "acquirer_id",
    37: "rrn",
    38: "approval_code",
    39: "response_code",
    49: "currency",
}

FindAttempts = Callable[[Sequence[AnswerNumbers]], Awaitable[list[OpenAttempt | None]]]
OpenExceptions = Callable[[Sequence[NewException]], Awaitable[None]]


class Orphan(Struct, gc=False):
    """An answer to nothing in flight."""

    network: str
    key: CorrelationKey
    fields: Fields
    second: bool = False  # to something that was answered before
    tries: int = 0


class Orphans:
    """The stage behind unmatched answers.

    Args:
        inbox: its own, for what has to wait.
        carriers: by network name.
        find_attempts: the ledger's look-up.
        open_exceptions: the ledger's list of what a person has to look into.
        codes: the DE 39 table.
        aftermath: decides what answers do.
        counts: the pipeline's.
        anomalies: the pipeline's.
        now_us: microseconds since 1970.
    """

    def __init__(
        self,
        *,
        inbox: Inbox[Orphan],
        carriers: Mapping[str, Carrier],
        find_attempts: FindAttempts,
        open_exceptions: OpenExceptions,
        codes: ResponseCodes,
        aftermath: Aftermath,
        counts: PipelineCounts,
        anomalies: Anomalies,
        now_us: Callable[[], int],
    ) -> None:
        self._inbox = inbox
        self._carriers = carriers
        self._find_attempts = find_attempts
        self._open_exceptions = open_exceptions
        self._codes = codes
        self._aftermath = aftermath
        self._counts = counts
        self._anomalies = anomalies
        self._now_us = now_us
        self._early: list[Orphan] = []
        self._unexplained: OrderedDict[tuple[str, CorrelationKey], None] = OrderedDict()
        self._minute = 0
        self._opened_in_minute = 0

    async def handle(self, batch: list[Orphan]) -> None:
        """Have decided what the ledger explains, raise the alarm for approvals it does not."""
        exceptions: list[NewException] = []
        for orphan, attempt in zip(batch, await self._look_up(batch), strict=True):
            if attempt is None or answer_key(attempt) != orphan.key:
                exceptions += self._unexplained_approval(orphan)
            else:
                self._tell(orphan, attempt)
        if exceptions:  # twice rather than never, should the commit's answer be lost
            await patiently(lambda: self._open_exceptions(exceptions))

    async def hear_again(self) -> NoReturn:
        """Take second answers up again whose first ones were not recorded yet."""
        while True:
            await trio.sleep(EARLY_S)
            early, self._early = self._early, []
            for orphan in early:
                if len(self._inbox) < ORPHANS_MAX:
                    self._inbox.put(orphan)
                else:
                    self._counts.orphans_dropped_total += 1

    def _tell(self, orphan: Orphan, attempt: OpenAttempt) -> None:
        finding = self._judge(attempt, orphan.fields)
        if finding.result == "unknown":
            self._counts.late_undecided_total += 1
            self._anomalies.tell(
                log.warning,
                "answer_in_doubt",
                network=orphan.network,
                reason=finding.reason,
                code=finding.response_code,
            )
            return
        self._aftermath.tell(
            attempt.intent_id,
            attempt.attempt_id,
            attempt.network,
            finding,
            f"network:{attempt.network}",
            lambda answer: self._told(orphan, answer),
            second=orphan.second,
        )

    def _told(self, orphan: Orphan, answer: Conclusion | Lost) -> None:
        if isinstance(answer, Conclusion):
            self._counts.late_adopted_total += answer.moved
        elif answer.code == NO_RESULT_YET and orphan.tries < TRIES_MAX:
            orphan.tries += 1
            self._early.append(orphan)

    async def _look_up(self, batch: list[Orphan]) -> list[OpenAttempt | None]:
        """The attempts that a batch names; what has no RRN of ours names none."""
        attempts: list[OpenAttempt | None] = [None] * len(batch)
        places = [place for place, orphan in enumerate(batch) if is_rrn(orphan.fields.get(37, ""))]
        if places:
            numbers = [_numbers(batch[place]) for place in places]
            found = await patiently(lambda: self._find_attempts(numbers))
            for place, attempt in zip(places, found, strict=True):
                attempts[place] = attempt
        return attempts

    def _unexplained_approval(self, orphan: Orphan) -> list[NewException]:
        """Raise the alarm for an approval that nothing explains; the exception to open, if any."""
        fields = orphan.fields
        approves = self._codes.look_up(fields.get(39, "")).code_class == "approve"
        if not approves or fields[0][1] not in MOVES_MONEY:
            return []
        self._counts.unexplained_total += 1
        self._anomalies.tell(
            log.critical,
            "approval_without_attempt",
            network=orphan.network,
            rrn=fields.get(37, ""),
        )
        if not self._is_news((orphan.network, orphan.key)):
            return []
        detail: dict[str, str | int] = {"mti": fields[0]}
        for de, name in DETAIL_ELEMENTS.items():
            if de in fields:
                detail[name] = fields[de].strip()
        return [NewException("approval_without_attempt", orphan.network, detail=detail)]

    def _is_news(self, key: tuple[str, CorrelationKey]) -> bool:
        """Whether no exception was opened for this key lately, and one more may be."""
        minute = self._now_us() // 60_000_000
        if minute != self._minute:
            self._minute, self._opened_in_minute = minute, 0
        if key in self._unexplained or self._opened_in_minute >= UNEXPLAINED_PER_MINUTE_MAX:
            return False
        self._opened_in_minute += 1
        self._unexplained[key] = None
        if len(self._unexplained) > UNEXPLAINED_KEPT_MAX:
            self._unexplained.popitem(last=False)
        return True

    def _judge(self, attempt: OpenAttempt, fields: Fields) -> Finding:
        if attempt.kind == "inquiry":
            judge = judge_inquiry
        elif attempt.mti[1] in "12" and attempt.mti[2] == "0":
            judge = judge_request
        else:
            judge = judge_advice
        try:
            return judge(
                sent_fields(attempt),
                fields,
                codes=self._codes,
                echoes=self._carriers[attempt.network].echoes,
                now_us=self._now_us(),
            )
        except Exception as error:  # noqa: BLE001  one answer's fault is its own (design 3)
            self._counts.errors_total += 1
            self._anomalies.tell(log.error, "answer_not_judged", error=type(error).__name__)
            return unknown("internal_error")


def answer_key(attempt: OpenAttempt) -> CorrelationKey:
    """What the answer to a recorded attempt is matched by."""
    return correlation_key(
        {
            0: attempt.mti,
            7: attempt.de7,
            11: attempt.stan,
            32: attempt.acquirer_id,
            37: attempt.rrn,
        }
    )


def _numbers(orphan: Orphan) -> AnswerNumbers:
    fields = orphan.fields
    rrn = fields[37]
    return AnswerNumbers(
        network=orphan.network,
        rrn=rrn,
        stan=fields.get(11, ""),
        de7=fields.get(7, ""),
        drawn_at_us=rrn_time_us(rrn),
    )


def sent_fields(attempt: OpenAttempt) -> Fields:
    """What the attempt sent, as far as it comes back, for the echo check."""
    fields = {
        3: PROCESSING_CODES.get(attempt.type, PROCESSING_CODE_SALE),
        4: f"{attempt.amount_minor:012d}",
        7: attempt.de7,
        11: attempt.stan,
        32: attempt.acquirer_id,
        37: attempt.rrn,
        41: f"{attempt.terminal_id:8}",
        42: f"{attempt.card_acceptor_id:15}",
        49: numeric_currency(attempt.currency),
    }
    if attempt.kind == "inquiry":
        numbers = Numbers(
            attempt.original_stan,
            attempt.original_de7,
            attempt.rrn,
            attempt.original_acquirer_id,
        )
        fields[90] = original_data(Original(attempt.original_mti, numbers))
    return fields
