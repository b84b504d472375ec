"""Reversals: when one begins, what its acknowledgment does, and answers that come after it.

A reversal, once committed, is only acknowledged or decided by an operator; nothing takes it back
(money.md I5). An answer to what it reverses is from then on never delivered.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ledger.deciding.records import (
    AttemptView,
    IntentView,
    NewAttempt,
    NewOutcome,
    Plan,
    TransactionView,
)
from switch.core.findings import Finding
from switch.core.operations.advices import put_aside
from switch.core.operations.reading import (
    APPROVED,
    ViewError,
    final_result,
    find_attempt,
    is_over,
    original_of,
    transaction_of,
)
from switch.core.operations.records import Context
from switch.core.operations.writing import (
    by_operator,
    close_intent,
    concluded,
    exception,
    next_attempt,
    outcome,
    queued,
    remark,
)

NOT_CONFIRMED: Final = (
    "not_confirmed"  # what the merchant hears: nobody could say, so it was undone
)
RETRY_LATER: Final = "retry_later"
UNDOING: Final = frozenset({"reversal", "release"})


def add_reversal(
    plan: Plan,
    transaction: TransactionView,
    reversed_: AttemptView,
    amount_minor: int,
    context: Context,
    *,
    kind: str = "reversal",
) -> NewAttempt:
    """Put the reversal of an attempt into a plan, due at once."""
    reversal = next_attempt(
        context.spare,
        transaction,
        kind=kind,
        mti=context.rules.reversal_mti,
        rrn=reversed_.rrn,
        amount_minor=amount_minor,
    )
    plan.attempts.append(reversal)
    plan.saf_add.append(queued(reversal, due_at_us=context.steady_us))
    return reversal


def has_reversal(view: IntentView, attempt: AttemptView) -> bool:
    """Whether an attempt's life has a reversal already."""
    return any(a.kind in UNDOING and a.rrn == attempt.rrn for a in view.attempts)


def close_window(view: IntentView, attempt_id: bytes, context: Context) -> Plan:
    """Reverse an attempt in doubt: its window of inquiries is over.

    Nothing is planned where the doubt has ended otherwise.
    """
    attempt = find_attempt(view, attempt_id)
    if attempt is None:
        raise ViewError("no such attempt")
    transaction = transaction_of(view, attempt.transaction_id)
    plan = Plan()
    if find_attempt(view, context.spare.attempt_id) is not None:
        return concluded(view, transaction, plan, done_before=True)
    plan.verify_drop = [row.attempt_id for row in view.verification if row.attempt_id == attempt_id]
    if transaction.status == "pending_verification" and final_result(attempt) == "unknown":
        if transaction.type == "charge":
            plan.intent = {"reversing": True}
        add_reversal(plan, transaction, attempt, attempt.amount_minor, context)
    return concluded(view, transaction, plan)


def settle_reversal(
    view: IntentView,
    transaction: TransactionView,
    reversal: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """The answer to a reversal: only an acknowledgment ends it."""
    plan = Plan()
    if reversal.result or finding.result not in ("approved", "nothing_found"):
        if finding.result == "poison":
            put_aside(plan, view, reversal, finding)
        return concluded(view, transaction, plan)
    plan.saf_drop = [reversal.attempt_id]
    if transaction.status != "reversing":  # it mends a contradiction of one that is over
        plan.outcomes = [remark(reversal, transaction, finding, context, result="approved")]
        return concluded(view, transaction, plan)
    plan.outcomes = _reversed(view, transaction, reversal, finding, context)
    if transaction.type == "refund":
        pending_minor = view.refund_pending_minor - transaction.amount_minor
        plan.intent = {"refund_pending_minor": pending_minor}
    else:
        close_intent(plan, view, context, otherwise="failed")
    return concluded(view, transaction, plan)


def _reversed(
    view: IntentView,
    transaction: TransactionView,
    reversal: AttemptView,
    finding: Finding,
    context: Context,
) -> list[NewOutcome]:
    """The reversal's result, and the resolution of what it reverses where that was unknown."""
    told = replace(
        finding,
        decline_code=transaction.decline_code or NOT_CONFIRMED,
        advice=transaction.advice or RETRY_LATER,
    )
    outcomes = []
    original = original_of(view, reversal.rrn)
    if original is not None and final_result(original) == "unknown":
        result = "manual" if by_operator(context) else "reversed"
        outcomes = [
            outcome(original, transaction, told, context, result=result, to_status="reversed")
        ]
    return [
        *outcomes,
        outcome(reversal, transaction, told, context, result="approved", to_status="reversed"),
    ]


def answer_after(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """An answer to an attempt that has one, or whose transaction is being reversed, or is over.

    The first answer stands, whatever this one says. One that contradicts it goes to a person; and
    where it approves what we hold declined, the network has money that we do not count, so it is
    reversed, without touching the transaction. While that waits for another attempt the message is
    a release, or it would count as `reversing`. A verification has no money to reverse.
    """
    plan = Plan()
    approves = finding.result in ("approved", "partial")
    held = final_result(attempt)
    if approves and held not in APPROVED and transaction.type != "verification":
        if has_reversal(view, attempt):
            plan.exceptions = [exception("late_approval", attempt, finding)]
        else:
            plan.exceptions = [exception("second_answer_approved", attempt, finding)]
            amount_minor = finding.approved_minor or attempt.amount_minor
            kind = "reversal" if is_over(transaction) else "release"
            add_reversal(plan, transaction, attempt, amount_minor, context, kind=kind)
    elif finding.result == "declined" and held in APPROVED:
        plan.exceptions = [exception("second_answer_declined", attempt, finding)]
    return concluded(view, transaction, plan)
