"""What a finding does to a refund: a payment of its own the other way.

Its amount is reserved (`refund_pending`) from the moment it is asked for until it is refunded,
declined or reversed; the intent's status stays what it is.
"""

from __future__ import annotations

from typing import Any

from ledger.deciding.records import Plan
from switch.core.operations.matter import Matter
from switch.core.operations.reversals import answer_after


def settle_refund(matter: Matter) -> Plan:
    """The first result of a refund's request, or the end of its doubt.

    An approval of a part is doubt: what is refunded is what was asked for, or nothing.
    """
    waits = matter.transaction.status in ("pending", "pending_verification")
    if not waits or matter.held not in ("", "unknown"):
        return answer_after(matter)
    if matter.result == "approved":
        return _ended(matter, to_status="succeeded")
    if matter.is_failure:
        return _ended(matter, to_status="failed")
    return matter.doubted()


def _ended(matter: Matter, *, to_status: str) -> Plan:
    plan = Plan(
        intent=_amounts(matter, refunded=to_status == "succeeded"),
        outcomes=[matter.outcome(matter.result, to_status=to_status)],
        verify_drop=matter.doubts(),
    )
    return matter.concluded(plan)


def _amounts(matter: Matter, *, refunded: bool) -> dict[str, Any]:
    """The reserved amount leaves its reservation, and was refunded or was not."""
    view, amount_minor = matter.view, matter.transaction.amount_minor
    changes = {"refund_pending_minor": view.refund_pending_minor - amount_minor}
    if refunded:
        changes["refunded_minor"] = view.refunded_minor + amount_minor
    return changes
