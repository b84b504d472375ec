"""What an event on the network means for a payment: the outcome to record.

Pure and total. Every network answer, silence or failure maps to exactly one `Decision`; a missing
or doubtful answer is UNKNOWN and never a decline (money.md 6). The states are those of
`ledger.lifecycle`; the pairs below are checked against its tables when this module is imported.
"""

from __future__ import annotations

from msgspec import Struct

from ledger.lifecycle import (
    CHARGE_SETTLEMENTS,
    INTENT_TRANSITIONS,
    TRANSACTION_TRANSITIONS,
    check_transition,
)
from switch.core.messages import echo_mismatch
from switch.core.response_codes import NOT_SENT, ResponseCode, ResponseCodes


class Decision(Struct, frozen=True, gc=False):
    """An outcome: its result, where the transaction and the intent go, and what we were told."""

    result: str  # approved | declined | not_sent | unknown
    transaction_to: str
    intent_to: str
    reason: str  # for the log and the metrics, from a closed set
    response_code: str = ""
    approval_code: str = ""
    decline_code: str = ""
    advice: str = ""


for _transaction_to, _intent_to in CHARGE_SETTLEMENTS.values():
    check_transition(TRANSACTION_TRANSITIONS, "pending", _transaction_to)
    check_transition(INTENT_TRANSITIONS, "processing", _intent_to)


def _decision(
    result: str, reason: str, code: str = "", approval: str = "", row: ResponseCode | None = None
) -> Decision:
    transaction_to, intent_to = CHARGE_SETTLEMENTS[result]
    if row is None:
        return Decision(result, transaction_to, intent_to, reason, code, approval)
    return Decision(
        result, transaction_to, intent_to, reason, code, approval, row.decline, row.advice
    )


def unknown(reason: str, code: str = "") -> Decision:
    """The outcome of silence, doubt or a crash."""
    return _decision("unknown", reason, code)


def not_sent(reason: str) -> Decision:
    """The outcome of an attempt of which no byte left."""
    return _decision("not_sent", reason, row=NOT_SENT)


def judge_answer(
    request: dict[int, str], response: dict[int, str], codes: ResponseCodes, *, pan: str = ""
) -> Decision:
    """The outcome that a matched response tells.

    `request` is what was sent, `pan` the card's number while it is in memory.
    """
    code = response.get(39)
    if code is None:
        return unknown("response_code_missing")
    row = codes.look_up(code)
    mismatch = echo_mismatch(request, response, pan=pan, partial=row.partial)
    if mismatch is not None:
        return unknown("echo_mismatch")
    if row.code_class == "approve":
        # A partial approval or a mere verification is not the sale that was asked for, and what
        # the issuer holds is not known to be zero: only a reversal may say so.
        if row.partial or row.zero_amount_only:
            return unknown("not_approved_in_full", code)
        return _decision("approved", "answered", code, response.get(38, "").strip())
    if row.code_class in {"undecided", "wait"}:
        return unknown("undecided", code)
    return _decision("declined", "answered", code, row=row)
