"""What a finding does to a capture.

A capture is an advice: it is repeated until the network has taken it in and is never reversed by
itself. From the moment it is recorded it holds the intent's mutex. It succeeds, or, where the
network knows nothing to capture or an operator says so, fails and leaves the authorization as it
was.
"""

from __future__ import annotations

from ledger.deciding.records import Plan
from switch.core.operations.advices import add_release, put_aside
from switch.core.operations.matter import Matter
from switch.core.operations.reading import approved_minor, authorization_of


def settle_capture(matter: Matter) -> Plan:
    """The answer to a capture, or the lack of one."""
    plan = Plan()
    if matter.transaction.status not in ("pending", "pending_verification"):
        if _contradicts(matter):
            plan.exceptions = [matter.exception("capture_contradicted")]
        return matter.concluded(plan)
    if matter.result == "approved":
        _captured(plan, matter)
    elif matter.result in ("nothing_found", "declined"):
        _refused(plan, matter)
    else:
        if not matter.attempt.result:
            plan.intent = {"status": "pending_verification"}
            plan.outcomes = [matter.outcome("unknown", to_status="pending_verification")]
        if matter.result == "poison":
            put_aside(plan, matter)
        return matter.concluded(plan)
    plan.saf_drop = matter.queue_rows()
    return matter.concluded(plan)


def _contradicts(matter: Matter) -> bool:
    """Whether an answer to a capture that is over says the opposite of the one that stands.

    A capture is never reversed by itself, so a person has to find out which of them holds.
    """
    if matter.transaction.status == "failed":
        return matter.result == "approved"
    return matter.result == "nothing_found"


def _captured(plan: Plan, matter: Matter) -> None:
    view, amount_minor = matter.view, matter.transaction.amount_minor
    left_minor = view.capturable_minor - amount_minor
    final = bool(matter.transaction.final_capture) or left_minor == 0
    plan.intent = {
        "live_transaction_id": None,
        "status": "succeeded" if final else "authorized",
        "captured_minor": view.captured_minor + amount_minor,
        "capturable_minor": 0 if final else left_minor,
    }
    plan.outcomes = [matter.outcome(_result(matter, "approved"), to_status="succeeded")]
    authorization = authorization_of(view)
    if final and left_minor and authorization is not None:
        charge, authorized = authorization
        add_release(plan, matter.transaction, authorized, approved_minor(charge), matter.context)


def _refused(plan: Plan, matter: Matter) -> None:
    """Nothing was captured: the authorization is as it was, and may be captured or canceled."""
    plan.intent = {"live_transaction_id": None, "status": "authorized"}
    plan.outcomes = [matter.outcome(_result(matter, "declined"), to_status="failed")]
    if not matter.by_operator:
        plan.exceptions = [matter.exception("capture_not_found")]


def _result(matter: Matter, result: str) -> str:
    return "manual" if matter.attempt.result and matter.by_operator else result
