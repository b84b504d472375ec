"""Another attempt of the same charge: after "not now" of the issuer, or over another network.

Nothing may have moved by the attempt before: it was declined with 91 or 96, or no byte of it left
(money.md 5). The two rows, its result and the new attempt, are one commit, so that there is never
more than one attempt of which nothing is known. The result is a remark: the charge stays pending
and the merchant hears of neither. But a decline is one all the same: schemes count every try.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.deciding.records import IntentView, NewAttempt, Plan
from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.operations.matter import Matter
from switch.core.operations.reading import find_attempt, find_transaction
from switch.core.operations.records import Context
from switch.core.operations.writing import next_attempt

RETRIED_CODES: Final = frozenset({"91", "96"})  # the issuer or a switch is away: known declined
REMARKS: Final = frozenset({"declined", "not_sent"})


class Again(Struct, frozen=True):
    """The attempt that now stands for the charge; nothing of it has been sent."""

    attempt: NewAttempt


def may_retry(finding: Finding) -> bool:
    """Whether a first attempt's result admits another one, if one can be made."""
    if finding.result == "not_sent":
        return True
    return finding.result == "declined" and finding.response_code in RETRIED_CODES


def attempt_again(
    view: IntentView | None, attempt_id: bytes, mti: str, finding: Finding, context: Context
) -> Plan | Lost:
    """Replace an attempt by another, with the spare numbers; the plan's value is an `Again`.

    Lost where the charge is no longer waiting for this attempt: its result is then settled as if
    there were no second chance.
    """
    attempt = find_attempt(view, attempt_id) if view is not None else None
    transaction = find_transaction(view, attempt.transaction_id) if view and attempt else None
    if view is None or attempt is None or transaction is None or finding.result not in REMARKS:
        return Lost("not_waiting")
    new = next_attempt(
        context.spare,
        transaction,
        kind="request",
        mti=mti,
        rrn=context.spare.rrn,
        amount_minor=attempt.amount_minor,
    )
    if find_attempt(view, new.attempt_id) is not None:
        return Plan(value=Again(new))  # an earlier run was committed
    if transaction.status != "pending" or attempt.result:
        return Lost("not_waiting")
    matter = Matter(view, transaction, attempt, finding, context)
    return Plan(
        outcomes=[matter.remark(finding.result)],
        attempts=[new],
        declines=matter.declines(),
        value=Again(new),
    )
