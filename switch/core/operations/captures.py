"""What a finding does to a capture.

A capture is an advice: it is repeated until the network has taken it in and is never reversed by
itself. From the moment it is recorded it holds the intent's mutex. It succeeds, or, where the
network knows nothing to capture or an operator says so, fails and leaves the authorization as it
was.
"""

from __future__ import annotations

from ledger.deciding.records import AttemptView, IntentView, Plan, TransactionView
from switch.core.findings import Finding
from switch.core.operations.advices import add_release, put_aside
from switch.core.operations.reading import approved_minor, authorization_of
from switch.core.operations.records import Context
from switch.core.operations.writing import by_operator, concluded, exception, outcome, phase_of


def settle_capture(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """The answer to a capture, or the lack of one."""
    plan = Plan()
    if transaction.status not in ("pending", "pending_verification"):
        if _contradicts(transaction, finding):
            plan.exceptions = [exception("capture_contradicted", attempt, finding)]
        return concluded(view, transaction, plan)
    if finding.result == "approved":
        _captured(plan, view, transaction, attempt, finding, context)
    elif finding.result in ("nothing_found", "declined"):
        _refused(plan, transaction, attempt, finding, context)
    else:
        if not attempt.result:
            plan.intent = {"status": "pending_verification"}
            plan.outcomes = [
                outcome(
                    attempt,
                    transaction,
                    finding,
                    context,
                    result="unknown",
                    to_status="pending_verification",
                )
            ]
        if finding.result == "poison":
            put_aside(plan, view, attempt, finding)
        return concluded(view, transaction, plan)
    plan.saf_drop = [row.attempt_id for row in view.saf if row.attempt_id == attempt.attempt_id]
    return concluded(view, transaction, plan)


def _contradicts(transaction: TransactionView, finding: Finding) -> bool:
    """Whether an answer to a capture that is over says the opposite of the one that stands.

    A capture is never reversed by itself, so a person has to find out which of them holds.
    """
    if transaction.status == "failed":
        return finding.result == "approved"
    return finding.result == "nothing_found"


def _captured(
    plan: Plan,
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> None:
    amount_minor = transaction.amount_minor
    left_minor = view.capturable_minor - amount_minor
    final = bool(transaction.final_capture) or left_minor == 0
    plan.intent = {
        "live_transaction_id": None,
        "status": "succeeded" if final else "authorized",
        "captured_minor": view.captured_minor + amount_minor,
        "capturable_minor": 0 if final else left_minor,
    }
    result = _result(attempt, context, "approved")
    plan.outcomes = [
        outcome(attempt, transaction, finding, context, result=result, to_status="succeeded")
    ]
    authorization = authorization_of(view)
    if final and left_minor and authorization is not None:
        charge, authorized = authorization
        add_release(plan, transaction, authorized, approved_minor(charge), context)


def _refused(
    plan: Plan,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> None:
    """Nothing was captured: the authorization is as it was, and may be captured or canceled."""
    plan.intent = {"live_transaction_id": None, "status": "authorized"}
    result = _result(attempt, context, "declined")
    plan.outcomes = [
        outcome(attempt, transaction, finding, context, result=result, to_status="failed")
    ]
    if not by_operator(context):
        plan.exceptions = [exception("capture_not_found", attempt, finding)]


def _result(attempt: AttemptView, context: Context, result: str) -> str:
    return "manual" if phase_of(attempt) == 2 and by_operator(context) else result
