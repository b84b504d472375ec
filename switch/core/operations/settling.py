"""Which decision takes a finding: by what the message is to its transaction, and the latter's type.

One function for every source of findings: an answer in time, silence, a late answer, one that
matches nothing in flight, an inquiry, recovery after a crash, an operator. What differs between
them is the finding and the actor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from ledger.deciding.records import IntentView, Plan
from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.operations.advices import settle_advice
from switch.core.operations.cancels import settle_cancel
from switch.core.operations.captures import settle_capture
from switch.core.operations.charges import settle_charge, settle_verification
from switch.core.operations.matter import Matter
from switch.core.operations.reading import (
    ViewError,
    find_attempt,
    original_of,
    transaction_of,
)
from switch.core.operations.records import Context
from switch.core.operations.refunds import settle_refund
from switch.core.operations.reversals import settle_reversal
from switch.core.operations.writing import concluded

Settle = Callable[[Matter], Plan]

NO_RESULT_YET: Final = "no_result_yet"
CONCLUSIVE: Final = frozenset({"approved", "partial", "declined"})


def settle(
    view: IntentView,
    attempt_id: bytes,
    finding: Finding,
    context: Context,
    *,
    second: bool = False,
) -> Plan | Lost:
    """What a finding about an attempt does; the plan's value is a `Conclusion`.

    A `second` one, which an answer came before, is not decided on while that has not been recorded:
    it would be taken for the first.

    Raises:
        ViewError: the view has no such attempt, or one that nothing can be found out about.
    """
    attempt = find_attempt(view, attempt_id)
    if attempt is None:
        raise ViewError("no such attempt")
    transaction = transaction_of(view, attempt.transaction_id)
    if find_attempt(view, context.spare.attempt_id) is not None:
        # An earlier run of this very decision was committed: its message stands.
        return concluded(view, transaction, Plan(), done_before=True)
    if second and not attempt.result:
        return Lost(NO_RESULT_YET)
    handle = _handler(attempt.kind, transaction.type)
    return handle(Matter(view, transaction, attempt, finding, context))


def settle_inquiry(matter: Matter) -> Plan:
    """What an inquiry brought: a remark on itself, and the end of the doubt where it says one.

    One whose original was decided meanwhile decides nothing: a reversal that was begun stands. A
    late answer to one that was given up is as good as any.
    """
    inquiry, transaction = matter.attempt, matter.transaction
    if inquiry.result not in ("", "unknown"):
        return matter.nothing()
    remarks = []
    if not inquiry.result:
        conclusive = matter.result in (*CONCLUSIVE, "not_sent")
        remarks = [matter.remark(matter.result if conclusive else "unknown")]
    original = original_of(matter.view, inquiry.rrn)
    in_doubt = transaction.status == "pending_verification"
    if original is None or not in_doubt or matter.result not in CONCLUSIVE:
        return matter.concluded(Plan(outcomes=remarks))
    plan = _handler(original.kind, transaction.type)(replace(matter, attempt=original))
    plan.outcomes = remarks + plan.outcomes
    return plan


_HANDLERS: Final[dict[tuple[str, str], Settle]] = {
    ("request", "charge"): settle_charge,
    ("request", "verification"): settle_verification,
    ("request", "capture"): settle_capture,
    ("request", "cancel"): settle_cancel,
    ("request", "refund"): settle_refund,
    ("completion", "charge"): settle_advice,
    ("release", "capture"): settle_advice,
    ("release", "charge"): settle_advice,
    ("reversal", "charge"): settle_reversal,
    ("reversal", "refund"): settle_reversal,
    ("inquiry", "charge"): settle_inquiry,
    ("inquiry", "refund"): settle_inquiry,
}


def _handler(kind: str, type_: str) -> Settle:
    try:
        return _HANDLERS[kind, type_]
    except KeyError:
        raise ViewError(f"a {kind} of a {type_}") from None
