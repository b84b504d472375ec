"""Questions to a view: which attempt, which original, which authorization."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.deciding.records import AttemptView, IntentView, SafRow, TransactionView
from ledger.lifecycle import TRANSACTION_TERMINAL
from ledger.records import TransactionRow

APPROVED = frozenset({"approved", "partial", "manual"})


class ViewError(LookupError):
    """A view lacks what a decision is about: a fault of ours, told by the kind of thing."""


def find_transaction(view: IntentView, transaction_id: bytes) -> TransactionView | None:
    """The transaction of this id, if there is one."""
    return next((t for t in view.transactions if t.transaction_id == transaction_id), None)


def find_attempt(view: IntentView, attempt_id: bytes) -> AttemptView | None:
    """The attempt of this id, if there is one."""
    return next((a for a in view.attempts if a.attempt_id == attempt_id), None)


def transaction_of(view: IntentView, transaction_id: bytes) -> TransactionView:
    """The transaction of this id.

    Raises:
        ViewError: there is none.
    """
    found = find_transaction(view, transaction_id)
    if found is None:
        raise ViewError("no such transaction")
    return found


def requests_of(view: IntentView, transaction_id: bytes) -> list[AttemptView]:
    """The attempts that asked for a transaction, oldest first."""
    return [a for a in view.attempts if a.transaction_id == transaction_id and a.kind == "request"]


def original_of(view: IntentView, rrn: str) -> AttemptView | None:
    """The message that began the life that an RRN names: the first request that carries it."""
    return next((a for a in view.attempts if a.rrn == rrn and a.kind == "request"), None)


def final_result(attempt: AttemptView) -> str:
    """What an attempt came to: its resolution, or its first result, or empty."""
    return attempt.resolution or attempt.result


def authorization_of(view: IntentView) -> tuple[TransactionView, AttemptView] | None:
    """The charge that succeeded, and the attempt that was approved for it."""
    for transaction in reversed(view.transactions):
        if transaction.type != "charge" or transaction.status != "succeeded":
            continue
        for attempt in reversed(requests_of(view, transaction.transaction_id)):
            if final_result(attempt) in APPROVED:
                return transaction, attempt
    return None


def approved_minor(transaction: TransactionView) -> int:
    """What a transaction moved, or would: less than was asked for where only that was approved."""
    return transaction.approved_minor or transaction.amount_minor


def refundable_minor(view: IntentView) -> int:
    """What may still be refunded (money.md 2)."""
    return (
        view.captured_minor - view.refunded_minor - view.refund_pending_minor - view.disputed_minor
    )


def requested_cancels(view: IntentView) -> Iterator[TransactionView]:
    """Cancels that were asked for in doubt and wait for the doubt to end: they have no message."""
    for transaction in view.transactions:
        if (
            transaction.type == "cancel"
            and transaction.status == "pending"
            and not requests_of(view, transaction.transaction_id)
        ):
            yield transaction


def is_over(transaction: TransactionView) -> bool:
    """Whether a transaction is terminal."""
    return transaction.status in TRANSACTION_TERMINAL


def saf_row_of(view: IntentView, attempt_id: bytes) -> SafRow | None:
    """An attempt's place in the store-and-forward queue, if it has one."""
    return next((row for row in view.saf if row.attempt_id == attempt_id), None)


def doubts_of(view: IntentView, transaction_id: bytes) -> list[bytes]:
    """The attempts of a transaction whose windows of inquiries are open."""
    return [row.attempt_id for row in view.verification if row.transaction_id == transaction_id]


def row_of(view: IntentView, transaction: TransactionView) -> TransactionRow:
    """A transaction as a merchant is told of it."""
    return TransactionRow(
        transaction_id=transaction.transaction_id,
        intent_id=view.intent_id,
        type=transaction.type,
        status=transaction.status,
        amount_minor=approved_minor(transaction),
        currency=transaction.currency,
        response_code=transaction.response_code,
        approval_code=transaction.approval_code,
        decline_code=transaction.decline_code,
        advice=transaction.advice,
        card_brand=transaction.card_brand,
        card_last4=transaction.card_last4,
        card_exp_month=transaction.card_exp_month,
        card_exp_year=transaction.card_exp_year,
        created_at_us=transaction.created_at_us,
        updated_at_us=transaction.updated_at_us,
        final_capture=transaction.final_capture,
    )
