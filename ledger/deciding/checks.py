"""What a plan must not do, whoever made it: the tables of `ledger.lifecycle` applied to a plan.

A plan that breaks a rule is a fault of ours. It is found here, before anything is written, so that
it harms its own step and no other of the batch. Postgres' constraints hold the same rules against
rows alone; what needs the history of an intent can be checked nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledger.errors import LedgerError
from ledger.lifecycle import (
    INTENT_LIVE,
    TRANSACTION_TERMINAL,
    LifecycleError,
    check_intent_transition,
    check_outcome,
)

if TYPE_CHECKING:
    from ledger.deciding.records import IntentView, NewOutcome, Plan

# Columns of payment_intents that the switch may change; version and updated_at follow by itself.
CHANGEABLE: Final = (
    "live_transaction_id",
    "capturable_minor",
    "captured_minor",
    "refund_pending_minor",
    "refunded_minor",
    "disputed_minor",
    "capture_before_us",
    "charge_count",
    "reversing",
    "cancel_requested",
    "status",
    "canceled_by",
)


class PlanError(LedgerError):
    """A plan that no rule admits; says which rule, and of which column or status."""


def check_plan(view: IntentView | None, plan: Plan, key: tuple[bytes, bytes] | None) -> None:
    """Pass a plan for the intent of this view, made by a step with this key.

    Raises:
        PlanError: the plan breaks a rule.
    """
    if view is None:
        raise PlanError("a plan needs an intent")
    try:
        _check_intent(view, plan)
        statuses = _statuses(view, plan)
        for outcome in plan.outcomes:
            _check_outcome(view, plan, outcome, statuses)
    except LifecycleError as error:
        raise PlanError(str(error)) from None
    _check_rows(view, plan)
    if plan.key is not None:
        if view.key is not None:
            raise PlanError("the idempotency key is taken")
        if key != (plan.key.merchant_id, plan.key.key_digest):
            raise PlanError("the idempotency key is not the step's")


def moves(plan: Plan, view: IntentView) -> bool:
    """Whether a plan changes what a reader of the intent sees: its version is raised then.

    Remarks, inquiries and the queues' rows do not.
    """
    over = {t.transaction_id for t in view.transactions if t.status in TRANSACTION_TERMINAL}
    return bool(
        plan.intent
        or plan.transactions
        or any(outcome.from_status != outcome.to_status for outcome in plan.outcomes)
        or any(a.kind == "reversal" and a.transaction_id not in over for a in plan.attempts)
    )


def _check_intent(view: IntentView, plan: Plan) -> None:
    if strange := sorted(plan.intent.keys() - set(CHANGEABLE)):
        raise PlanError(f"no column of an intent that may change: {', '.join(strange)}")
    status = plan.intent.get("status", view.status)
    if status != view.status:
        check_intent_transition(view.status, status)
    live = plan.intent.get("live_transaction_id", view.live_transaction_id)
    if (status in INTENT_LIVE) and live is None:
        raise PlanError(f"an intent that is {status} has a live transaction")
    if status != "canceled" and plan.free_reference:
        raise PlanError("only a canceled intent frees its reference")


def _statuses(view: IntentView, plan: Plan) -> dict[bytes, str]:
    """The status of each transaction that the plan may speak of, before it."""
    statuses = {old.transaction_id: old.status for old in view.transactions}
    for new in plan.transactions:
        if new.transaction_id in statuses:
            raise PlanError("a transaction of the plan is there already")
        statuses[new.transaction_id] = "pending"
    return statuses


def _check_outcome(
    view: IntentView, plan: Plan, outcome: NewOutcome, statuses: dict[bytes, str]
) -> None:
    check_outcome(outcome.phase, outcome.result, outcome.from_status, outcome.to_status)
    if statuses.get(outcome.transaction_id) != outcome.from_status:
        raise PlanError(f"the transaction of an outcome is not {outcome.from_status}")
    known = [a for a in view.attempts if a.attempt_id == outcome.attempt_id]
    if not known:
        planned = {attempt.attempt_id for attempt in plan.attempts}
        if outcome.phase == 2 or outcome.attempt_id not in {outcome.transaction_id, *planned}:
            raise PlanError("an outcome belongs to no attempt")
        return
    attempt = known[0]
    if attempt.transaction_id != outcome.transaction_id:
        raise PlanError("an outcome belongs to an attempt of another transaction")
    if outcome.phase == 1 and attempt.result:
        raise PlanError("the attempt has a first result already")
    if outcome.phase == 2 and (attempt.result != "unknown" or attempt.resolution):
        raise PlanError("the attempt has no unknown to resolve")


def _check_rows(view: IntentView, plan: Plan) -> None:
    """New attempts belong to known transactions, queue rows to known attempts."""
    transactions = {old.transaction_id for old in view.transactions}
    transactions |= {new.transaction_id for new in plan.transactions}
    attempts = {old.attempt_id for old in view.attempts}
    for new in plan.attempts:
        if new.attempt_id in attempts:
            raise PlanError("an attempt of the plan is there already")
        if new.transaction_id not in transactions:
            raise PlanError("an attempt belongs to no transaction")
    attempts |= {new.attempt_id for new in plan.attempts}
    added = {row.attempt_id for row in plan.saf_add} | {row.attempt_id for row in plan.verify_add}
    if added - attempts:
        raise PlanError("a queue's row belongs to no attempt")
    known_saf = {row.attempt_id for row in view.saf}
    if ({row.attempt_id for row in plan.saf_update} | set(plan.saf_drop)) - known_saf:
        raise PlanError("an advice is not in its queue")
    known_doubts = {row.attempt_id for row in view.verification}
    if ({row.attempt_id for row in plan.verify_update} | set(plan.verify_drop)) - known_doubts:
        raise PlanError("a doubt is not in its queue")
