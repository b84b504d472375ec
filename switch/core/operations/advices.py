"""Advices behind what has succeeded, and what poison and operators do to the queue.

A completion tells the network to post what a charge was authorized for, a release to give back what
a final capture left of an authorization. Both follow a transaction that the merchant has heard of
as succeeded, so nothing about them moves it; they are repeated until they are taken in.
"""

from __future__ import annotations

from msgspec.structs import replace

from ledger.deciding.records import AttemptView, Plan, TransactionView
from switch.core.operations.matter import Matter
from switch.core.operations.reading import saf_row_of
from switch.core.operations.records import Context
from switch.core.operations.writing import next_attempt, queued
from switch.iso8583.mti import FINANCIAL_ADVICE


def add_completion(
    plan: Plan,
    transaction: TransactionView,
    authorization: AttemptView,
    amount_minor: int,
    context: Context,
) -> None:
    """Put the 0220 behind an automatic charge of a dual-message network into a plan."""
    completion = next_attempt(
        context.spare,
        transaction,
        kind="completion",
        mti=FINANCIAL_ADVICE,
        rrn=authorization.rrn,
        amount_minor=amount_minor,
    )
    plan.attempts.append(completion)
    plan.saf_add.append(queued(completion, due_at_us=context.steady_us))


def add_release(
    plan: Plan,
    transaction: TransactionView,
    authorization: AttemptView,
    authorized_minor: int,
    context: Context,
) -> None:
    """Put the 0420 with DE 95 behind a final capture into a plan."""
    release = next_attempt(
        context.spare,
        transaction,
        kind="release",
        mti=context.rules.reversal_mti,
        rrn=authorization.rrn,
        amount_minor=authorized_minor,
    )
    plan.attempts.append(release)
    plan.saf_add.append(queued(release, due_at_us=context.steady_us))


def settle_advice(matter: Matter) -> Plan:
    """The answer to a completion or a release.

    Where the network finds nothing that it could be about the matter is over, but somebody should
    look: what we count as captured was not posted there. While a charge still waits for another
    attempt nothing can be remarked on it: the advice is sent again, and answered again.
    """
    plan, advice = Plan(), matter.attempt
    waits = advice.result or matter.transaction.status == "pending"
    if waits or matter.result not in ("approved", "nothing_found", "declined"):
        if matter.result == "poison":
            put_aside(plan, matter)
        return matter.concluded(plan)
    approved = matter.result != "declined"  # only an operator gives up on an advice
    plan.saf_drop = [advice.attempt_id]
    plan.outcomes = [matter.remark("approved" if approved else "declined")]
    if matter.result != "approved" and advice.kind == "completion":
        plan.exceptions = [matter.exception("completion_not_posted")]
    return matter.concluded(plan)


def put_aside(plan: Plan, matter: Matter) -> None:
    """Give an advice that the network rejects for ever to an operator; it blocks nobody."""
    row = saf_row_of(matter.view, matter.attempt.attempt_id)
    if row is not None and not row.manual and not row.resolution:
        plan.saf_update.append(replace(row, manual=True))
        plan.exceptions.append(matter.exception("advice_rejected", mti=matter.attempt.mti))
