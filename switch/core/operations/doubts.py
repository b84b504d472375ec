"""Asking about an attempt in doubt: an inquiry is an attempt too, recorded before it is sent."""

from __future__ import annotations

from msgspec.structs import replace

from ledger.deciding.records import AttemptView, IntentView, NewAttempt, Plan, VerificationRow
from switch.core.messages_following import INQUIRY_MTI
from switch.core.operations.letters import letter_of
from switch.core.operations.reading import final_result, find_attempt, transaction_of
from switch.core.operations.records import Context
from switch.core.operations.writing import next_attempt


def inquire(view: IntentView, attempt_id: bytes, context: Context) -> Plan:
    """Record an inquiry about an attempt; the plan's value is its `Letter`.

    The value is None where there is nothing to ask: the doubt has ended, or nobody asks any more.
    """
    doubt = next((row for row in view.verification if row.attempt_id == attempt_id), None)
    original = find_attempt(view, attempt_id)
    known = find_attempt(view, context.spare.attempt_id)
    if known is not None:
        return Plan(value=letter_of(view, known))  # an earlier run was committed
    if doubt is None or original is None or not _in_doubt(view, original):
        return Plan()
    doubts, inquiries = context.rules.doubt, doubt.inquiries + 1
    if not doubts.may_inquire(doubt.inquiries):
        return Plan()
    inquiry = _inquiry(view, original, context)
    due_at_us = doubts.next_due_us(inquiries, doubt.window_ends_at_us, context.steady_us)
    return Plan(
        attempts=[inquiry],
        verify_update=[_asked(doubt, inquiries, due_at_us)],
        value=letter_of(view, inquiry),
    )


def _in_doubt(view: IntentView, original: AttemptView) -> bool:
    transaction = transaction_of(view, original.transaction_id)
    return transaction.status == "pending_verification" and final_result(original) == "unknown"


def _inquiry(view: IntentView, original: AttemptView, context: Context) -> NewAttempt:
    return next_attempt(
        context.spare,
        transaction_of(view, original.transaction_id),
        kind="inquiry",
        mti=INQUIRY_MTI,
        rrn=original.rrn,
        amount_minor=original.amount_minor,
    )


def _asked(doubt: VerificationRow, inquiries: int, due_at_us: int) -> VerificationRow:
    return replace(doubt, inquiries=inquiries, due_at_us=due_at_us)
