"""What a finding does to the cancel of an authorization.

A 0400 asks the network at once. Whatever it answers but yes, the authorization is given up: a 0420
follows through store-and-forward until it is acknowledged, and nothing is captured any more. Only
an operator can say that the network never will, which leaves the authorization as it was.
"""

from __future__ import annotations

from typing import Final

from ledger.deciding.records import NewOutcome, Plan
from switch.core.operations.advices import put_aside
from switch.core.operations.matter import Matter
from switch.core.operations.reading import (
    ViewError,
    approved_minor,
    authorization_of,
    requests_of,
    saf_row_of,
)
from switch.core.operations.writing import asked_by, cancel_intent, next_attempt, queued

# What the answer to a 0400 counts as: with "not now" and poison the network has not done it.
_FIRST_RESULTS: Final = {
    "unknown": "unknown",
    "not_sent": "not_sent",
    "retry": "declined",
    "poison": "declined",
    "declined": "declined",
}


def settle_cancel(matter: Matter) -> Plan:
    """The answer to the 0400 of a cancel, or to the 0420 that follows it, or the lack of one."""
    plan = Plan()
    if matter.transaction.status not in ("pending", "pending_verification"):
        return matter.concluded(plan)
    forwarded = saf_row_of(matter.view, matter.attempt.attempt_id) is not None
    if not forwarded and matter.attempt.result:
        return matter.concluded(plan)  # a 0420 is on its way and says the last word
    if matter.result in ("approved", "nothing_found"):
        _canceled(plan, matter)
    elif not forwarded:
        _follow_up(plan, matter)
    elif matter.result == "declined" and matter.by_operator:
        _refused(plan, matter)
    elif matter.result == "poison":
        put_aside(plan, matter)
    return matter.concluded(plan)


def _canceled(plan: Plan, matter: Matter) -> None:
    view = matter.view
    plan.outcomes = _ended(matter, "approved", to_status="succeeded")
    plan.saf_drop = matter.queue_rows()
    if view.captured_minor:  # what was captured before stays the merchant's
        plan.intent = {"live_transaction_id": None, "status": "succeeded", "capturable_minor": 0}
    else:
        asker = asked_by(matter.transaction.request_id)
        cancel_intent(plan, view, matter.context, canceled_by=asker)


def _follow_up(plan: Plan, matter: Matter) -> None:
    """The 0400 came to nothing: the 0420 takes over, and whoever waits hears that it is pending."""
    authorization = authorization_of(matter.view)
    if authorization is None:
        raise ViewError("the authorization that is canceled")
    charge, authorized = authorization
    plan.intent = {"status": "pending_verification"}
    result = _FIRST_RESULTS[matter.result]
    plan.outcomes = [matter.outcome(result, to_status="pending_verification")]
    advice = next_attempt(
        matter.context.spare,
        matter.transaction,
        kind="request",
        mti=matter.context.rules.reversal_mti,
        rrn=authorized.rrn,
        amount_minor=approved_minor(charge),
    )
    plan.attempts = [advice]
    plan.saf_add = [queued(advice, due_at_us=matter.context.steady_us)]


def _refused(plan: Plan, matter: Matter) -> None:
    plan.outcomes = _ended(matter, "declined", to_status="failed")
    plan.saf_drop = [matter.attempt.attempt_id]
    plan.intent = {"live_transaction_id": None, "status": "authorized"}


def _ended(matter: Matter, result: str, *, to_status: str) -> list[NewOutcome]:
    """The result of this attempt, and with it of those before it that were unknown."""
    resolution = "manual" if matter.by_operator else result
    earlier = [
        matter.outcome(resolution, to_status=to_status, of=before)
        for before in requests_of(matter.view, matter.transaction.transaction_id)
        if before.result == "unknown" and not before.resolution
    ]
    return [*earlier, matter.outcome(result, to_status=to_status)]
