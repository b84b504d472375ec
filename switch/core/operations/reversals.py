"""Reversals: when one begins, what its acknowledgment does, and answers that come after it.

A reversal, once committed, is only acknowledged or decided by an operator; nothing takes it back
(money.md I5). An answer to what it reverses is from then on never delivered.
"""

from __future__ import annotations

from typing import Final

from ledger.deciding.records import (
    AttemptView,
    IntentView,
    NewAttempt,
    NewOutcome,
    Plan,
    TransactionView,
)
from switch.core.operations.advices import put_aside
from switch.core.operations.matter import Matter
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
from switch.core.operations.writing import close_intent, concluded, next_attempt, queued

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


def settle_reversal(matter: Matter) -> Plan:
    """The answer to a reversal: only an acknowledgment ends it."""
    plan, transaction = Plan(), matter.transaction
    if matter.attempt.result or matter.result not in ("approved", "nothing_found"):
        if matter.result == "poison":
            put_aside(plan, matter)
        return matter.concluded(plan)
    plan.saf_drop = [matter.attempt.attempt_id]
    if transaction.status != "reversing":  # it mends a contradiction of one that is over
        plan.outcomes = [matter.remark("approved")]
        return matter.concluded(plan)
    plan.outcomes = _reversed(matter)
    if transaction.type == "refund":
        pending_minor = matter.view.refund_pending_minor - transaction.amount_minor
        plan.intent = {"refund_pending_minor": pending_minor}
    else:
        close_intent(plan, matter.view, matter.context, otherwise="failed")
    return matter.concluded(plan)


def _reversed(matter: Matter) -> list[NewOutcome]:
    """The reversal's result, and the resolution of what it reverses where that was unknown."""
    transaction = matter.transaction
    told = matter.telling(
        transaction.decline_code or NOT_CONFIRMED, transaction.advice or RETRY_LATER
    )
    outcomes = []
    original = original_of(matter.view, matter.attempt.rrn)
    if original is not None and final_result(original) == "unknown":
        result = "manual" if matter.by_operator else "reversed"
        outcomes = [told.outcome(result, to_status="reversed", of=original)]
    return [*outcomes, told.outcome("approved", to_status="reversed")]


def answer_after(matter: Matter) -> Plan:
    """An answer to an attempt that has one, or whose transaction is being reversed, or is over.

    The first answer stands, whatever this one says. One that contradicts it goes to a person; and
    where it approves what we hold declined, the network has money that we do not count, so it is
    reversed, without touching the transaction. While that waits for another attempt the message is
    a release, or it would count as `reversing`. A verification has no money to reverse.
    """
    plan, transaction, attempt = Plan(), matter.transaction, matter.attempt
    approves = matter.result in ("approved", "partial")
    if approves and matter.held not in APPROVED and transaction.type != "verification":
        if has_reversal(matter.view, attempt):
            plan.exceptions = [matter.exception("late_approval")]
        else:
            plan.exceptions = [matter.exception("second_answer_approved")]
            kind = "reversal" if is_over(transaction) else "release"
            amount_minor = matter.approved_minor
            add_reversal(plan, transaction, attempt, amount_minor, matter.context, kind=kind)
    elif matter.result == "declined" and matter.held in APPROVED:
        plan.exceptions = [matter.exception("second_answer_declined")]
    return matter.concluded(plan)
