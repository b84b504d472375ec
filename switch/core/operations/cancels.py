"""What a finding does to the cancel of an authorization.

A 0400 asks the network at once. Whatever it answers but yes, the authorization is given up: a 0420
follows through store-and-forward until it is acknowledged, and nothing is captured any more. Only
an operator can say that the network never will, which leaves the authorization as it was.
"""

from __future__ import annotations

from typing import Final

from ledger.deciding.records import AttemptView, IntentView, NewOutcome, Plan, TransactionView
from switch.core.findings import Finding
from switch.core.operations.advices import put_aside
from switch.core.operations.reading import (
    ViewError,
    approved_minor,
    authorization_of,
    requests_of,
    saf_row_of,
)
from switch.core.operations.records import Context
from switch.core.operations.writing import (
    asked_by,
    by_operator,
    cancel_intent,
    concluded,
    next_attempt,
    outcome,
    queued,
)

# What the answer to a 0400 counts as: with "not now" and poison the network has not done it.
_FIRST_RESULTS: Final = {
    "unknown": "unknown",
    "not_sent": "not_sent",
    "retry": "declined",
    "poison": "declined",
    "declined": "declined",
}


def settle_cancel(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """The answer to the 0400 of a cancel, or to the 0420 that follows it, or the lack of one."""
    plan = Plan()
    if transaction.status not in ("pending", "pending_verification"):
        return concluded(view, transaction, plan)
    forwarded = saf_row_of(view, attempt.attempt_id) is not None
    if not forwarded and attempt.result:
        return concluded(view, transaction, plan)  # a 0420 is on its way and says the last word
    if finding.result in ("approved", "nothing_found"):
        _canceled(plan, view, transaction, attempt, finding, context)
    elif not forwarded:
        _follow_up(plan, view, transaction, attempt, finding, context)
    elif finding.result == "declined" and by_operator(context):
        _refused(plan, view, transaction, attempt, finding, context)
    elif finding.result == "poison":
        put_aside(plan, view, attempt, finding)
    return concluded(view, transaction, plan)


def _canceled(
    plan: Plan,
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> None:
    plan.outcomes = _ended(view, transaction, attempt, finding, context, approved=True)
    plan.saf_drop = [row.attempt_id for row in view.saf if row.attempt_id == attempt.attempt_id]
    if view.captured_minor:  # what was captured before stays the merchant's
        plan.intent = {"live_transaction_id": None, "status": "succeeded", "capturable_minor": 0}
    else:
        cancel_intent(plan, view, context, canceled_by=asked_by(transaction.request_id))


def _follow_up(
    plan: Plan,
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> None:
    """The 0400 came to nothing: the 0420 takes over, and whoever waits hears that it is pending."""
    authorization = authorization_of(view)
    if authorization is None:
        raise ViewError("the authorization that is canceled")
    charge, authorized = authorization
    plan.intent = {"status": "pending_verification"}
    plan.outcomes = [
        outcome(
            attempt,
            transaction,
            finding,
            context,
            result=_FIRST_RESULTS[finding.result],
            to_status="pending_verification",
        )
    ]
    advice = next_attempt(
        context.spare,
        transaction,
        kind="request",
        mti=context.rules.reversal_mti,
        rrn=authorized.rrn,
        amount_minor=approved_minor(charge),
    )
    plan.attempts = [advice]
    plan.saf_add = [queued(advice, due_at_us=context.steady_us)]


def _refused(
    plan: Plan,
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> None:
    plan.outcomes = _ended(view, transaction, attempt, finding, context, approved=False)
    plan.saf_drop = [attempt.attempt_id]
    plan.intent = {"live_transaction_id": None, "status": "authorized"}


def _ended(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
    *,
    approved: bool,
) -> list[NewOutcome]:
    """The result of this attempt, and with it of those before it that were unknown."""
    result, to_status = ("approved", "succeeded") if approved else ("declined", "failed")
    resolution = "manual" if by_operator(context) else result
    earlier = [
        outcome(before, transaction, finding, context, result=resolution, to_status=to_status)
        for before in requests_of(view, transaction.transaction_id)
        if before.result == "unknown" and not before.resolution
    ]
    return [
        *earlier,
        outcome(attempt, transaction, finding, context, result=result, to_status=to_status),
    ]
