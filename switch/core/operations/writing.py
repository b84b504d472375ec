"""Rows of a plan, and what a transaction is once they are written."""

from __future__ import annotations

from msgspec.structs import replace

from ledger.deciding.records import (
    AttemptView,
    IntentView,
    NewAttempt,
    NewDecline,
    NewException,
    NewOutcome,
    Plan,
    SafRow,
    TransactionView,
    VerificationRow,
)
from ledger.lifecycle import TRANSACTION_TERMINAL
from ledger.records import TransactionRow
from switch.core.findings import Finding
from switch.core.operations.reading import requested_cancels, row_of
from switch.core.operations.records import EXPIRY_REQUEST_ID, Conclusion, Context, Spare


def phase_of(attempt: AttemptView) -> int:
    """Which result of an attempt comes next: its first, or the resolution of its unknown."""
    return 2 if attempt.result else 1


def outcome(
    attempt: AttemptView,
    transaction: TransactionView,
    finding: Finding,
    context: Context,
    *,
    result: str,
    to_status: str,
) -> NewOutcome:
    """The next result of an attempt, with what the network said."""
    return NewOutcome(
        attempt_id=attempt.attempt_id,
        transaction_id=transaction.transaction_id,
        phase=phase_of(attempt),
        result=result,
        from_status=transaction.status,
        to_status=to_status,
        actor=context.actor,
        request_id=transaction.request_id,
        at_us=context.now_us,
        response_code=finding.response_code,
        approval_code=finding.approval_code,
        decline_code=finding.decline_code,
        advice=finding.advice,
        approved_minor=finding.approved_minor,
        settles_on=finding.settles_on,
    )


def remark(
    attempt: AttemptView,
    transaction: TransactionView,
    finding: Finding,
    context: Context,
    *,
    result: str,
) -> NewOutcome:
    """A first result that moves nothing: the transaction stays what it is."""
    return outcome(
        attempt, transaction, finding, context, result=result, to_status=transaction.status
    )


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


def doubted(attempt: AttemptView, context: Context) -> VerificationRow:
    """The window of inquiries of an attempt whose outcome is unknown from now on."""
    window = context.rules.doubt.open(context.steady_us)
    return VerificationRow(
        attempt.attempt_id,
        attempt.transaction_id,
        attempt.network,
        due_at_us=window.due_at_us,
        window_ends_at_us=window.ends_at_us,
    )


def declined_card(
    attempt: AttemptView, transaction: TransactionView, finding: Finding, context: Context
) -> list[NewDecline]:
    """What is remembered of a card that was declined, if this is a decline of one."""
    if not finding.decline_class or transaction.fingerprint is None:
        return []
    return [
        NewDecline(
            attempt.attempt_id,
            transaction.fingerprint,
            attempt.network,
            finding.decline_class,
            context.now_us,
        )
    ]


def exception(
    kind: str, attempt: AttemptView, finding: Finding, **detail: str | int
) -> NewException:
    """Something about an attempt that a person has to look into."""
    known: dict[str, str | int] = {"rrn": attempt.rrn, "response_code": finding.response_code}
    return NewException(
        kind,
        network=attempt.network,
        transaction_id=attempt.transaction_id,
        attempt_id=attempt.attempt_id,
        detail=known | detail,
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


def by_operator(context: Context) -> bool:
    """Whether a person decided, not the network."""
    return context.actor.startswith("operator:")


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
