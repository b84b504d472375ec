"""What an answer, or silence, tells about one message: a finding. Pure and total.

Every network answer, silence or failure maps to exactly one finding; a missing or doubtful answer
is unknown and never a decline (money.md 6). What a finding does to a payment is not said here: that
depends on all that happened to the payment before (`switch.core.operations`).

Three kinds of message are answered in three ways. A *request* (0100, 0200) is approved, perhaps in
part, or declined. An *advice* (0220, 0420, and the 0400 of a cancel) tells the network of a fact
and cannot be declined: it has been taken in (`approved`), there is nothing that it could be about
(`nothing_found`), it cannot be taken in now (`retry`), or never as it stands (`poison`). An
*inquiry* (0600) is answered about itself in DE 39 and about its original in DE 62; only an approval
or a decline of the original says anything.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from switch.core.echoes import Echoes, original_echo_mismatch
from switch.core.messages_following import (
    FOUND,
    InquiryAnswer,
    MessageError,
    parse_inquiry_answer,
)
from switch.core.response_codes import (
    NOT_SENT,
    DeclineClass,
    ResponseCode,
    ResponseCodes,
    decline_class,
)

Fields = dict[int, str]
Result = Literal[
    "approved",
    "partial",
    "declined",
    "not_sent",
    "unknown",
    "nothing_found",
    "retry",
    "poison",
]
SETTLEMENT_DATE: Final = 15
DAY_US: Final = 86_400_000_000
HALF_A_YEAR_DAYS: Final = 182  # of two equal months and days only one lies as near as this


class Finding(Struct, frozen=True, gc=False):
    """What is known of one message. `reason` is for logs and metrics, from a closed set."""

    result: Result
    reason: str
    response_code: str = ""  # DE 39, or empty
    approval_code: str = ""  # DE 38, or empty
    decline_code: str = ""  # what the merchant is told
    advice: str = ""
    decline_class: DeclineClass | Literal[""] = ""
    approved_minor: int = 0  # of a partial approval
    settles_on: str = ""  # DE 15 with its year, YYYY-MM-DD


def unknown(reason: str, code: str = "") -> Finding:
    """Silence, doubt or a crash."""
    return Finding("unknown", reason, code)


def not_sent(reason: str) -> Finding:
    """No byte left."""
    return Finding("not_sent", reason, decline_code=NOT_SENT.decline, advice=NOT_SENT.advice)


def judge_request(
    sent: Fields,
    answer: Fields,
    *,
    codes: ResponseCodes,
    echoes: Echoes,
    now_us: int,
    pan: str = "",
) -> Finding:
    """What the answer to a 0100 or 0200 tells; `sent` may lack the card."""
    code = answer.get(39)
    if code is None:
        return unknown("response_code_missing")
    row = codes.look_up(code)
    if echoes.mismatch(sent, answer, pan=pan, partial=row.partial) is not None:
        return unknown("echo_mismatch", code)
    settles_on = answer.get(SETTLEMENT_DATE, "")
    if settles_on:
        settles_on = settlement_date(settles_on, now_us)
    if row.code_class == "approve":
        if row.partial or row.zero_amount_only:
            return _approved_in_part(sent, answer, row, settles_on)
        # In the order of its fields: by name it takes longer, and this is nearly every answer.
        approval = answer.get(38, "").strip()
        return Finding("approved", "answered", code, approval, "", "", "", 0, settles_on)
    if row.code_class in {"undecided", "wait"}:
        return unknown("undecided", code)
    return _declined(code, row, settles_on)


def _approved_in_part(sent: Fields, answer: Fields, row: ResponseCode, settles_on: str) -> Finding:
    """An approval of less than was asked for; of no amount at all only where that was asked for."""
    code, approval, asked_minor = answer[39], answer.get(38, "").strip(), int(sent[4])
    if row.zero_amount_only:
        if asked_minor:
            return unknown("approved_as_verification", code)
        return Finding("approved", "answered", code, approval, settles_on=settles_on)
    approved_minor = int(answer.get(4, "0"))
    if not 0 < approved_minor < asked_minor:
        return unknown("approved_amount", code)
    return Finding(
        "partial", "answered", code, approval, approved_minor=approved_minor, settles_on=settles_on
    )


def judge_advice(
    sent: Fields, answer: Fields, *, codes: ResponseCodes, echoes: Echoes, now_us: int
) -> Finding:
    """What the answer to a 0220, 0400 or 0420, or to a repeat of one, tells."""
    code = answer.get(39)
    if code is None:
        return unknown("response_code_missing")
    if echoes.mismatch(sent, answer) is not None:
        return unknown("echo_mismatch", code)
    role = codes.advice_role(code)
    settles_on = settlement_date(answer.get(SETTLEMENT_DATE, ""), now_us)
    if role == "final":
        approval = answer.get(38, "").strip()
        return Finding("approved", "answered", code, approval, settles_on=settles_on)
    return Finding(role, "answered", code, settles_on=settles_on)


def judge_inquiry(
    sent: Fields, answer: Fields, *, codes: ResponseCodes, echoes: Echoes, now_us: int
) -> Finding:
    """What the answer to a 0600 tells about its original: approved, partial, declined, or unknown.

    Not found is unknown: an inquiry can overtake its original. So is an original that the network
    says it has reversed: whatever it held is gone, and only our own reversal may say so.
    """
    code = answer.get(39)
    if code is None:
        return unknown("response_code_missing")
    if echoes.mismatch(sent, answer) is not None or original_echo_mismatch(sent, answer):
        return unknown("echo_mismatch", code)
    if code != FOUND:
        nothing = codes.advice_role(code) == "nothing_found"
        return unknown("not_found" if nothing else "no_word", code)
    try:
        held = parse_inquiry_answer(answer.get(62, ""))
    except MessageError:
        return unknown("inquiry_garbled", code)
    settles_on = settlement_date(answer.get(SETTLEMENT_DATE, ""), now_us)
    return _held_there(held, int(sent[4]), codes.look_up(held.response_code), settles_on)


def _held_there(
    held: InquiryAnswer, asked_minor: int, row: ResponseCode, settles_on: str
) -> Finding:
    """What the network holds about an original of which it knows."""
    code = held.response_code
    if row.code_class in {"undecided", "wait"}:
        return unknown("undecided", code)
    if row.code_class != "approve":
        return _declined(code, row, settles_on)
    if held.reversed:
        return unknown("reversed_there", code)
    if not 0 < held.approved_minor <= asked_minor:
        return unknown("approved_amount", code)
    in_full = held.approved_minor == asked_minor
    return Finding(
        "approved" if in_full else "partial",
        "answered",
        code,
        held.approval_code,
        approved_minor=0 if in_full else held.approved_minor,
        settles_on=settles_on,
    )


def _declined(code: str, row: ResponseCode, settles_on: str) -> Finding:
    return Finding(
        "declined",
        "answered",
        code,
        decline_code=row.decline,
        advice=row.advice,
        decline_class=decline_class(row),
        settles_on=settles_on,
    )


def settlement_date(month_and_day: str, now_us: int) -> str:
    """DE 15 (MMDD) with the year that brings it nearest to now, YYYY-MM-DD; no date gives none."""
    return _dated(month_and_day, now_us // DAY_US) if month_and_day else ""


@lru_cache(maxsize=64)  # a network speaks of one or two dates a day
def _dated(month_and_day: str, today: int) -> str:
    now = datetime.fromtimestamp(today * 86_400, UTC).date()
    near: list[date] = []
    for year in (now.year - 1, now.year, now.year + 1):
        try:
            near.append(date(year, int(month_and_day[:2]), int(month_and_day[2:])))
        except ValueError:
            continue  # no such day in that year, or no date at all
    near = [day for day in near if abs((day - now).days) <= HALF_A_YEAR_DAYS]
    return near[0].isoformat() if near else ""
