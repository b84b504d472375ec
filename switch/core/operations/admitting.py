"""A merchant's capture, cancel or refund, or the sweeper's cancel: may it be?

Each order is decided on the locked view, so two that contradict each other cannot both pass. What
is admitted takes the intent's mutex (a refund: reserves its amount), takes the idempotency key, and
has its message recorded, all in one commit before a byte leaves.

An order under a key that is taken is answered by what stands under the key, whatever the intent has
come to since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from ledger.deciding.records import (
    AttemptView,
    IntentView,
    NewAttempt,
    NewKey,
    NewOutcome,
    NewTransaction,
    Plan,
    TransactionView,
)
from ledger.lifecycle import ADMITS, EXPIRES
from ledger.records import Lost, Replay, TransactionRow
from ledger.verdicts import key_verdict
from switch.core.operations.letters import letter_of
from switch.core.operations.reading import (
    authorization_of,
    find_transaction,
    refundable_minor,
    requested_cancels,
    requests_of,
    row_of,
)
from switch.core.operations.records import Admitted, Context, Order
from switch.core.operations.writing import asked_by, cancel_intent, queued
from switch.iso8583.mti import FINANCIAL_ADVICE, FINANCIAL_REQUEST, REVERSAL_REQUEST

# What an order hears of an intent whose status does not admit it.
_CAPTURE_REFUSALS: Final = {
    "created": "not_authorized",
    "failed": "not_authorized",
    "processing": "operation_in_progress",
    "pending_verification": "operation_in_doubt",
    "succeeded": "already_succeeded",
    "canceled": "intent_canceled",
}
_REFUND_REFUSALS: Final = {
    "created": "amount_exceeds_refundable",  # nothing has been captured
    "failed": "amount_exceeds_refundable",
    "processing": "operation_in_progress",
    "pending_verification": "operation_in_doubt",
    "canceled": "intent_canceled",
}
_CANCEL_REFUSALS: Final = {
    "processing": "operation_in_progress",
    "succeeded": "use_refund",
    "canceled": "intent_canceled",
}


def admit(view: IntentView | None, order: Order, context: Context) -> Plan | Lost:
    """What becomes of an order; the plan's value is an `Admitted`."""
    if view is None or (view.merchant_id, view.live) != (order.merchant_id, order.live):
        return Lost("not_found")
    own = find_transaction(view, order.transaction_id)
    if own is not None:
        return _admitted_before(view, own, context)
    if view.key is not None and order.key_digest:
        known = key_verdict(order.request_hash, view.key)
        if isinstance(known, Replay):
            return Plan(value=Admitted(known.transaction, None, replayed=True))
        return known
    return _DECIDERS[order.type](view, order, context)


def _admitted_before(view: IntentView, own: TransactionView, context: Context) -> Plan:
    """An earlier run of this very order was committed."""
    letters = [
        letter_of(view, attempt)
        for attempt in requests_of(view, own.transaction_id)
        if attempt.attempt_id == context.spare.attempt_id
    ]
    return Plan(value=Admitted(row_of(view, own), letters[0] if letters else None))


def _capture(view: IntentView, order: Order, context: Context) -> Plan | Lost:
    if view.status != "authorized":
        return Lost(_CAPTURE_REFUSALS[view.status])
    if view.capture_before_us is not None and context.is_past(view.capture_before_us):
        return Lost("capture_expired")
    amount_minor = order.amount_minor or view.capturable_minor
    if amount_minor > view.capturable_minor:
        return Lost("amount_exceeds_capturable")
    authorized = _authorized_on(view, context)
    if authorized is None:
        return Lost("operation_in_progress")
    plan = _with_transaction(view, order, amount_minor, context)
    plan.intent = _mutex(order)
    attempt = _with_message(
        plan, view, context, mti=FINANCIAL_ADVICE, rrn=authorized.rrn, amount_minor=amount_minor
    )
    # Sent at once, and again if it is not acknowledged by then.
    plan.saf_add = [queued(attempt, due_at_us=attempt.deadline_at_us, repeats=1)]
    return plan


def _refund(view: IntentView, order: Order, context: Context) -> Plan | Lost:
    if view.status not in ADMITS["refund"]:
        return Lost(_REFUND_REFUSALS[view.status])
    left_minor = refundable_minor(view)
    amount_minor = order.amount_minor or left_minor
    if not 0 < amount_minor <= left_minor:
        return Lost("amount_exceeds_refundable")
    if _authorized_on(view, context) is None:
        return Lost("operation_in_progress")
    plan = _with_transaction(view, order, amount_minor, context)
    plan.intent = {"refund_pending_minor": view.refund_pending_minor + amount_minor}
    _with_message(
        plan,
        view,
        context,
        mti=FINANCIAL_REQUEST,
        rrn=context.spare.rrn,
        amount_minor=amount_minor,
    )
    return plan


def _cancel(view: IntentView, order: Order, context: Context) -> Plan | Lost:
    if view.status in EXPIRES:
        return _cancel_at_once(view, order, context)
    if view.status == "pending_verification":
        return _cancel_in_doubt(view, order, context)
    if view.status != "authorized":
        return Lost(_CANCEL_REFUSALS[view.status])
    authorized = _authorized_on(view, context)
    if authorized is None:
        return Lost("operation_in_progress")
    plan = _with_transaction(view, order, view.capturable_minor, context)
    plan.intent = _mutex(order)
    _with_message(
        plan,
        view,
        context,
        mti=REVERSAL_REQUEST,
        rrn=authorized.rrn,
        amount_minor=view.capturable_minor + view.captured_minor,
    )
    return plan


def _cancel_at_once(view: IntentView, order: Order, context: Context) -> Plan | Lost:
    """Nothing was authorized: no message, and the cancel has succeeded when it is recorded."""
    if view.live_transaction_id is not None:  # a verification is under way
        return Lost("operation_in_progress")
    plan = _with_transaction(view, order, view.amount_minor, context)
    cancel_intent(plan, view, context, canceled_by=asked_by(order.request_id))
    done = NewOutcome(
        attempt_id=order.transaction_id,
        transaction_id=order.transaction_id,
        phase=1,
        result="approved",
        from_status="pending",
        to_status="succeeded",
        actor=context.actor,
        request_id=order.request_id,
        at_us=context.now_us,
    )
    plan.outcomes.append(done)
    plan.value = Admitted(replace(plan.value.transaction, status="succeeded"), None)
    return plan


def _cancel_in_doubt(view: IntentView, order: Order, context: Context) -> Plan | Lost:
    """A charge in doubt ends canceled, whatever it turns out to be; a capture is never undone.

    Who cancels again, under another key, is told of the cancel that stands.
    """
    standing = next(requested_cancels(view), None)
    live = find_transaction(view, view.live_transaction_id or b"")
    if standing is None and live is not None and live.type == "cancel":
        standing = live
    if standing is not None:
        plan = Plan(value=Admitted(row_of(view, standing), None))
        plan.key = _key(order, standing.transaction_id)
        return plan
    if live is None or live.type != "charge":
        return Lost("operation_in_doubt")
    plan = _with_transaction(view, order, view.amount_minor, context)
    plan.intent = {"cancel_requested": True}
    return plan


_DECIDERS: Final[dict[str, Callable[[IntentView, Order, Context], Plan | Lost]]] = {
    "capture": _capture,
    "cancel": _cancel,
    "refund": _refund,
}


def _authorized_on(view: IntentView, context: Context) -> AttemptView | None:
    """The approved attempt that a message would follow, where its numbers were drawn for it.

    None where the intent was charged again, over another network, since somebody looked.
    """
    authorization = authorization_of(view)
    if authorization is None or authorization[1].network != context.spare.network:
        return None
    return authorization[1]


def _mutex(order: Order) -> dict[str, str | bytes]:
    return {"status": "processing", "live_transaction_id": order.transaction_id}


def _key(order: Order, transaction_id: bytes) -> NewKey | None:
    if not order.key_digest:
        return None
    return NewKey(order.merchant_id, order.key_digest, order.request_hash, transaction_id)


def _with_transaction(view: IntentView, order: Order, amount_minor: int, context: Context) -> Plan:
    """A plan with the order's transaction, under its key, and no message yet."""
    final_capture = order.final_capture if order.type == "capture" else None
    new = NewTransaction(
        order.transaction_id,
        order.type,
        amount_minor,
        view.currency,
        order.request_id,
        final_capture,
    )
    row = TransactionRow(
        transaction_id=new.transaction_id,
        intent_id=view.intent_id,
        type=new.type,
        status="pending",
        amount_minor=amount_minor,
        currency=new.currency,
        response_code="",
        approval_code="",
        decline_code="",
        advice="",
        card_brand="",
        card_last4="",
        card_exp_month=0,
        card_exp_year=0,
        created_at_us=context.now_us,
        updated_at_us=context.now_us,
        final_capture=final_capture,
    )
    return Plan(
        transactions=[new], key=_key(order, order.transaction_id), value=Admitted(row, None)
    )


def _with_message(
    plan: Plan, view: IntentView, context: Context, *, mti: str, rrn: str, amount_minor: int
) -> NewAttempt:
    """Put the order's message into its plan, and its letter into what the caller gets."""
    [transaction] = plan.transactions
    spare = context.spare
    attempt = NewAttempt(
        attempt_id=spare.attempt_id,
        transaction_id=transaction.transaction_id,
        kind="request",
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
    plan.attempts = [attempt]
    letter = letter_of(view, attempt, type_=transaction.type)
    plan.value = Admitted(plan.value.transaction, letter)
    return attempt
