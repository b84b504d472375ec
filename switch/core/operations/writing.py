"""Rows of a plan, and what a transaction is once they are written."""

from __future__ import annotations

from msgspec.structs import replace

from ledger.deciding.records import (
    IntentView,
    NewAttempt,
    NewOutcome,
    Plan,
    SafRow,
    TransactionView,
)
from ledger.lifecycle import TRANSACTION_TERMINAL
from ledger.records import TransactionRow
from switch.core.operations.reading import requested_cancels, row_of
from switch.core.operations.records import EXPIRY_REQUEST_ID, Conclusion, Context, Spare


def next_attempt(
    spare: Spare,
    transaction: TransactionView,
    *,
    kind: str,
    mti: str,
    rrn: str,
    amount_minor: int,
) -> NewAttempt:
    """An attempt of a transaction that stands, with the numbers drawn for it."""
    return NewAttempt(
        attempt_id=spare.attempt_id,
        transaction_id=transaction.transaction_id,
        kind=kind,
        network=spare.network,
        acquirer_id=spare.acquirer_id,
        mti=mti,
        stan=spare.stan,
        rrn=rrn,
        de7=spare.de7,
        amount_minor=amount_minor,
        currency=transaction.currency,
        deadline_at_us=spare.deadline_at_us,
    )


def queued(attempt: NewAttempt, *, due_at_us: int, repeats: int = 0) -> SafRow:
    """The place of an advice in store-and-forward."""
    return SafRow(
        attempt.attempt_id,
        attempt.transaction_id,
        attempt.kind,
        attempt.network,
        due_at_us,
        repeats=repeats,
    )


def close_intent(plan: Plan, view: IntentView, context: Context, *, otherwise: str) -> None:
    """Free an intent whose live charge came to nothing; it is canceled where that was asked for."""
    plan.intent |= {"live_transaction_id": None, "reversing": False, "status": otherwise}
    if view.cancel_requested:
        cancel_intent(plan, view, context, canceled_by="merchant")


def cancel_intent(plan: Plan, view: IntentView, context: Context, *, canceled_by: str) -> None:
    """End an intent as canceled; cancels that waited for this have succeeded."""
    plan.intent |= {
        "live_transaction_id": None,
        "reversing": False,
        "capturable_minor": 0,
        "status": "canceled",
        "canceled_by": canceled_by,
    }
    plan.free_reference = True
    plan.outcomes += [
        NewOutcome(
            attempt_id=cancel.transaction_id,
            transaction_id=cancel.transaction_id,
            phase=1,
            result="approved",
            from_status="pending",
            to_status="succeeded",
            actor=context.actor,
            request_id=cancel.request_id,
            at_us=context.now_us,
        )
        for cancel in requested_cancels(view)
    ]


def asked_by(request_id: bytes) -> str:
    """Who is behind a request: only the sweeper has none."""
    return "expiry" if request_id == EXPIRY_REQUEST_ID else "merchant"


def concluded(
    view: IntentView, transaction: TransactionView, plan: Plan, *, done_before: bool = False
) -> Plan:
    """The plan with its conclusion as value: the transaction as it stands once it is written.

    `done_before`: an earlier run was committed, and put an advice into the queue.
    """
    after = transaction_after(view, transaction, plan)
    plan.value = Conclusion(
        after,
        moved=done_before or after.status != transaction.status,
        queued=done_before or bool(plan.saf_add),
        exceptions=len(plan.exceptions),
    )
    return plan


def transaction_after(view: IntentView, transaction: TransactionView, plan: Plan) -> TransactionRow:
    """A transaction of the view as it stands once the plan is written."""
    for step in reversed(plan.outcomes):
        moves = step.from_status != step.to_status
        if moves and step.transaction_id == transaction.transaction_id:
            transaction = replace(
                transaction,
                status=step.to_status,
                response_code=step.response_code,
                approval_code=step.approval_code,
                decline_code=step.decline_code,
                advice=step.advice,
                approved_minor=step.approved_minor,
                updated_at_us=step.at_us,
            )
            break
    if transaction.status not in TRANSACTION_TERMINAL and any(
        a.kind == "reversal" and a.transaction_id == transaction.transaction_id
        for a in plan.attempts
    ):
        transaction = replace(transaction, status="reversing")
    return row_of(view, transaction)
