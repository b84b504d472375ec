"""What a finding does to a charge, or to the verification of a card.

First results of charges are recorded on the hot path, which knows all it takes; here are those that
come in two steps (a partial approval that nobody accepts, an outcome after doubt), and those of a
switch that was started anew.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ledger.deciding.records import AttemptView, IntentView, Plan, TransactionView
from switch.core.findings import Finding
from switch.core.operations.advices import add_completion
from switch.core.operations.reading import doubts_of, final_result
from switch.core.operations.records import Context
from switch.core.operations.reversals import NOT_CONFIRMED, RETRY_LATER, add_reversal, answer_after
from switch.core.operations.writing import (
    close_intent,
    concluded,
    declined_card,
    doubted,
    outcome,
    phase_of,
)
from switch.iso8583.mti import AUTHORIZATION_REQUEST

PARTIAL_NOT_ACCEPTED: Final = "partial_not_accepted"
USE_OTHER_CARD: Final = "use_other_card"


def settle_charge(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """The first result of a charge's attempt, or the end of its doubt."""
    waits = transaction.status in ("pending", "pending_verification")
    if not waits or final_result(attempt) not in ("", "unknown"):
        return answer_after(view, transaction, attempt, finding, context)
    if finding.result in ("approved", "partial"):
        return _approved(view, transaction, attempt, finding, context)
    if finding.result == "declined" or (finding.result == "not_sent" and not attempt.result):
        return _failed(view, transaction, attempt, finding, context)
    if attempt.result:
        return concluded(view, transaction, Plan())  # in doubt, and so it stays
    plan = Plan(
        intent={"status": "pending_verification"},
        outcomes=[
            outcome(
                attempt,
                transaction,
                finding,
                context,
                result="unknown",
                to_status="pending_verification",
            )
        ],
        verify_add=[doubted(attempt, context)],
    )
    return concluded(view, transaction, plan)


def _approved(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """Adopt an approval, unless nobody wants it any more: then it is reversed."""
    refused = finding.result == "partial" and not view.allow_partial
    if refused or view.cancel_requested:
        return _approved_and_reversed(view, transaction, attempt, finding, context)
    amount_minor = finding.approved_minor or transaction.amount_minor
    result = "approved" if phase_of(attempt) == 2 else finding.result
    plan = Plan(
        intent={"live_transaction_id": None},
        outcomes=[
            outcome(attempt, transaction, finding, context, result=result, to_status="succeeded")
        ],
        verify_drop=doubts_of(view, transaction.transaction_id),
    )
    if view.capture_method == "manual":
        capture_before_us = context.now_us + context.rules.authorization_us
        plan.intent |= {
            "status": "authorized",
            "capturable_minor": amount_minor,
            "capture_before_us": capture_before_us,
        }
        plan.expire_at_us = capture_before_us
    else:
        plan.intent |= {
            "status": "succeeded",
            "captured_minor": view.captured_minor + amount_minor,
        }
        if attempt.mti == AUTHORIZATION_REQUEST:
            add_completion(plan, transaction, attempt, amount_minor, context)
    return concluded(view, transaction, plan)


def _approved_and_reversed(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """Record what was approved, and take it back: for less than asked, or after a cancel."""
    told = finding
    if not view.cancel_requested:
        told = replace(finding, decline_code=PARTIAL_NOT_ACCEPTED, advice=USE_OTHER_CARD)
    result = "approved" if phase_of(attempt) == 2 else finding.result
    plan = Plan(
        intent={"status": "pending_verification", "reversing": True},
        outcomes=[
            outcome(attempt, transaction, told, context, result=result, to_status="reversing")
        ],
        verify_drop=doubts_of(view, transaction.transaction_id),
    )
    amount_minor = finding.approved_minor or attempt.amount_minor
    add_reversal(plan, transaction, attempt, amount_minor, context)
    return concluded(view, transaction, plan)


def _failed(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    plan = Plan(
        outcomes=[
            outcome(
                attempt,
                transaction,
                finding,
                context,
                result=finding.result,
                to_status="failed",
            )
        ],
        verify_drop=doubts_of(view, transaction.transaction_id),
        declines=declined_card(attempt, transaction, finding, context),
    )
    close_intent(plan, view, context, otherwise="failed")
    return concluded(view, transaction, plan)


def settle_verification(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """The result of an account verification: it moves no money, so doubt is a failure.

    The intent stays as it was and is free again; the card may be asked about once more.
    """
    if attempt.result or transaction.status != "pending":
        return answer_after(view, transaction, attempt, finding, context)
    approved = finding.result == "approved"
    if finding.result == "unknown":
        finding = replace(finding, decline_code=NOT_CONFIRMED, advice=RETRY_LATER)
    plan = Plan(
        intent={"live_transaction_id": None},
        outcomes=[
            outcome(
                attempt,
                transaction,
                finding,
                context,
                result="unknown" if finding.result == "partial" else finding.result,
                to_status="succeeded" if approved else "failed",
            )
        ],
        declines=declined_card(attempt, transaction, finding, context),
    )
    return concluded(view, transaction, plan)
