"""What a finding does to a charge, or to the verification of a card.

First results of charges are recorded on the hot path, which knows all it takes; here are those that
come in two steps (a partial approval that nobody accepts, an outcome after doubt), and those of a
switch that was started anew.
"""

from __future__ import annotations

from typing import Final

from ledger.deciding.records import Plan
from switch.core.operations.advices import add_completion
from switch.core.operations.matter import Matter
from switch.core.operations.reversals import NOT_CONFIRMED, RETRY_LATER, add_reversal, answer_after
from switch.core.operations.writing import close_intent
from switch.iso8583.mti import AUTHORIZATION_REQUEST

PARTIAL_NOT_ACCEPTED: Final = "partial_not_accepted"
USE_OTHER_CARD: Final = "use_other_card"


def settle_charge(matter: Matter) -> Plan:
    """The first result of a charge's attempt, or the end of its doubt."""
    waits = matter.transaction.status in ("pending", "pending_verification")
    if not waits or matter.held not in ("", "unknown"):
        return answer_after(matter)
    if matter.result in ("approved", "partial"):
        return _approved(matter)
    if matter.is_failure:
        return _failed(matter)
    return matter.doubted(intent_status="pending_verification")


def _approved(matter: Matter) -> Plan:
    """Adopt an approval, unless nobody wants it any more: then it is reversed."""
    view, transaction, context = matter.view, matter.transaction, matter.context
    refused = matter.result == "partial" and not view.allow_partial
    if refused or view.cancel_requested:
        return _approved_and_reversed(matter)
    amount_minor = matter.finding.approved_minor or transaction.amount_minor
    plan = Plan(
        intent={"live_transaction_id": None},
        outcomes=[matter.outcome(matter.as_approved, to_status="succeeded")],
        verify_drop=matter.doubts(),
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
        if matter.attempt.mti == AUTHORIZATION_REQUEST:
            add_completion(plan, transaction, matter.attempt, amount_minor, context)
    return matter.concluded(plan)


def _approved_and_reversed(matter: Matter) -> Plan:
    """Record what was approved, and take it back: for less than asked, or after a cancel."""
    told = matter
    if not matter.view.cancel_requested:
        told = matter.telling(PARTIAL_NOT_ACCEPTED, USE_OTHER_CARD)
    plan = Plan(
        intent={"status": "pending_verification", "reversing": True},
        outcomes=[told.outcome(matter.as_approved, to_status="reversing")],
        verify_drop=matter.doubts(),
    )
    amount_minor = matter.approved_minor
    add_reversal(plan, matter.transaction, matter.attempt, amount_minor, matter.context)
    return matter.concluded(plan)


def _failed(matter: Matter) -> Plan:
    plan = Plan(
        outcomes=[matter.outcome(matter.result, to_status="failed")],
        verify_drop=matter.doubts(),
        declines=matter.declines(),
    )
    close_intent(plan, matter.view, matter.context, otherwise="failed")
    return matter.concluded(plan)


def settle_verification(matter: Matter) -> Plan:
    """The result of an account verification: it moves no money, so doubt is a failure.

    The intent stays as it was and is free again; the card may be asked about once more.
    """
    if matter.attempt.result or matter.transaction.status != "pending":
        return answer_after(matter)
    result = "unknown" if matter.result == "partial" else matter.result
    to_status = "succeeded" if matter.result == "approved" else "failed"
    told = matter.telling(NOT_CONFIRMED, RETRY_LATER) if matter.result == "unknown" else matter
    plan = Plan(
        intent={"live_transaction_id": None},
        outcomes=[told.outcome(result, to_status=to_status)],
        declines=matter.declines(),
    )
    return matter.concluded(plan)
