"""What a finding does to a refund: a payment of its own the other way.

Its amount is reserved (`refund_pending`) from the moment it is asked for until it is refunded,
declined or reversed; the intent's status stays what it is.
"""

from __future__ import annotations

from typing import Any

from ledger.deciding.records import AttemptView, IntentView, Plan, TransactionView
from switch.core.findings import Finding
from switch.core.operations.reading import doubts_of, final_result
from switch.core.operations.records import Context
from switch.core.operations.reversals import answer_after
from switch.core.operations.writing import concluded, doubted, outcome


def settle_refund(
    view: IntentView,
    transaction: TransactionView,
    attempt: AttemptView,
    finding: Finding,
    context: Context,
) -> Plan:
    """The first result of a refund's request, or the end of its doubt.

    An approval of a part is doubt: what is refunded is what was asked for, or nothing.
    """
    waits = transaction.status in ("pending", "pending_verification")
    if not waits or final_result(attempt) not in ("", "unknown"):
        return answer_after(view, transaction, attempt, finding, context)
    approved = finding.result == "approved"
    if (
        approved
        or finding.result == "declined"
        or (finding.result == "not_sent" and not attempt.result)
    ):
        plan = Plan(
            intent=_amounts(view, transaction, refunded=approved),
            outcomes=[
                outcome(
                    attempt,
                    transaction,
                    finding,
                    context,
                    result=finding.result,
                    to_status="succeeded" if approved else "failed",
                )
            ],
            verify_drop=doubts_of(view, transaction.transaction_id),
        )
        return concluded(view, transaction, plan)
    if attempt.result:
        return concluded(view, transaction, Plan())  # in doubt, and so it stays
    plan = Plan(
        outcomes=[
            outcome(
                attempt,
                transaction,
                finding,
                context,
                result="unknown",
                to_status="pending_verification",
            )
        ],
        verify_add=[doubted(attempt, context)],
    )
    return concluded(view, transaction, plan)


def _amounts(view: IntentView, transaction: TransactionView, *, refunded: bool) -> dict[str, Any]:
    """The reserved amount leaves its reservation, and was refunded or was not."""
    amount_minor = transaction.amount_minor
    changes = {"refund_pending_minor": view.refund_pending_minor - amount_minor}
    if refunded:
        changes["refunded_minor"] = view.refunded_minor + amount_minor
    return changes
