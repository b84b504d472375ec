"""Steps for tests of locked decisions: small deciders with the shape of the switch's own.

Each is a pure function of a view that finds its own ids in it, as every step must.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ledger.deciding.records import (
    AttemptView,
    IntentView,
    NewAttempt,
    NewKey,
    NewOutcome,
    NewTransaction,
    Plan,
    SafRow,
    TransactionView,
)
from ledger.deciding.views import read_views
from ledger.records import Lost
from tests.support.ledger import IDS, NOW_US

if TYPE_CHECKING:
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness

Decider = Callable[[IntentView], "Plan | Lost"]
DAY_US = 86_400_000_000


class Decide:
    """A step made of a function; keeps the views it was shown.

    `before` runs ahead of every decision: a place for a test to break something.
    """

    def __init__(
        self,
        intent_id: bytes,
        decider: Decider,
        *,
        key: tuple[bytes, bytes] | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.intent_id = intent_id
        self.key = key
        self.views: list[IntentView | None] = []
        self._decider = decider
        self._before = before

    def decide(self, view: IntentView | None) -> Plan | Lost:
        """Decide as the function does; an absent intent is not found."""
        self.views.append(view)
        self._before()
        return Lost("not_found") if view is None else self._decider(view)


def attempt(transaction_id: bytes, kind: str = "request", **changes: Any) -> NewAttempt:
    """An attempt with numbers of its own."""
    fields: dict[str, Any] = {
        "attempt_id": IDS.next(),
        "transaction_id": transaction_id,
        "kind": kind,
        "network": "vsim",
        "acquirer_id": "400001",
        "mti": {"inquiry": "0600", "reversal": "0420"}.get(kind, "0220"),
        "stan": "000002",
        "rrn": "0ABCDEFGHIJK",
        "de7": "0102030406",
        "amount_minor": 2499,
        "currency": "usd",
        "deadline_at_us": NOW_US + 2_000_000,
    }
    return NewAttempt(**fields | changes)


def outcome(attempt_id: bytes, transaction_id: bytes, result: str, **changes: Any) -> NewOutcome:
    """A first result that settles a pending transaction, unless changed."""
    fields: dict[str, Any] = {
        "attempt_id": attempt_id,
        "transaction_id": transaction_id,
        "phase": 1,
        "result": result,
        "from_status": "pending",
        "to_status": {"approved": "succeeded", "unknown": "pending_verification"}.get(
            result, "failed"
        ),
        "actor": "network:vsim",
        "request_id": os.urandom(16),
        "at_us": time.time_ns() // 1_000,
    }
    return NewOutcome(**fields | changes)


def remark(attempt_id: bytes, transaction_id: bytes, result: str, status: str) -> NewOutcome:
    """An outcome that leaves its transaction where it stands."""
    return outcome(attempt_id, transaction_id, result, from_status=status, to_status=status)


def saf_row(of: NewAttempt, **changes: Any) -> SafRow:
    """An advice's place in the queue, due at once."""
    row = SafRow(of.attempt_id, of.transaction_id, of.kind, of.network, due_at_us=NOW_US)
    return replace(row, **changes)


def new_transaction(type_: str, amount_minor: int = 2499, **changes: Any) -> NewTransaction:
    """A transaction of an intent that was charged before."""
    fields: dict[str, Any] = {
        "transaction_id": IDS.next(),
        "type": type_,
        "amount_minor": amount_minor,
        "currency": "usd",
        "request_id": os.urandom(16),
    }
    return NewTransaction(**fields | changes)


def own(view: IntentView, transaction_id: bytes) -> TransactionView | None:
    """The transaction of this id, if an earlier run inserted it."""
    found = [t for t in view.transactions if t.transaction_id == transaction_id]
    return found[0] if found else None


def attempt_of(view: IntentView, attempt_id: bytes) -> AttemptView:
    """An attempt that must be there."""
    [found] = [a for a in view.attempts if a.attempt_id == attempt_id]
    return found


def capture(amount_minor: int, *, key: NewKey | None = None) -> tuple[NewTransaction, Decider]:
    """Take the mutex of an authorized intent for a capture."""
    new = new_transaction("capture", amount_minor, final_capture=True)
    message = attempt(new.transaction_id, amount_minor=amount_minor)

    def decide(view: IntentView) -> Plan | Lost:
        if own(view, new.transaction_id):
            return Plan(value="captured")
        if view.status != "authorized" or view.live_transaction_id is not None:
            return Lost("operation_in_progress")
        if amount_minor > view.capturable_minor:
            return Lost("amount_exceeds_capturable")
        return Plan(
            intent={"status": "processing", "live_transaction_id": new.transaction_id},
            transactions=[new],
            attempts=[message],
            saf_add=[saf_row(message, repeats=1)],
            key=key,
            value="captured",
        )

    return new, decide


def cancel() -> tuple[NewTransaction, Decider]:
    """Take the mutex of an authorized intent for a cancel."""
    new = new_transaction("cancel")
    message = attempt(new.transaction_id, mti="0400")

    def decide(view: IntentView) -> Plan | Lost:
        if own(view, new.transaction_id):
            return Plan(value="canceling")
        if view.status != "authorized" or view.live_transaction_id is not None:
            return Lost("operation_in_progress")
        return Plan(
            intent={"status": "processing", "live_transaction_id": new.transaction_id},
            transactions=[new],
            attempts=[message],
            value="canceling",
        )

    return new, decide


def refund(amount_minor: int, *, key: NewKey | None = None) -> tuple[NewTransaction, Decider]:
    """Reserve an amount of a succeeded intent for a refund."""
    new = new_transaction("refund", amount_minor)
    message = attempt(new.transaction_id, mti="0200", amount_minor=amount_minor)

    def decide(view: IntentView) -> Plan | Lost:
        if own(view, new.transaction_id):
            return Plan(value="refunding")
        if view.key is not None:
            return Lost("idempotency_key_reused")
        taken = view.refunded_minor + view.refund_pending_minor + view.disputed_minor
        if taken + amount_minor > view.captured_minor:
            return Lost("amount_exceeds_refundable")
        return Plan(
            intent={"refund_pending_minor": view.refund_pending_minor + amount_minor},
            transactions=[new],
            attempts=[message],
            key=key and replace(key, transaction_id=new.transaction_id),
            value="refunding",
        )

    return new, decide


def settle_refund(new: NewTransaction, result: str) -> Decider:
    """The answer to a refund's 0200: its amount leaves what is pending."""

    def decide(view: IntentView) -> Plan | Lost:
        [message] = [a for a in view.attempts if a.transaction_id == new.transaction_id]
        if message.result:
            return Plan(value=result)
        changes = {"refund_pending_minor": view.refund_pending_minor - new.amount_minor}
        if result == "approved":
            changes["refunded_minor"] = view.refunded_minor + new.amount_minor
        told = outcome(message.attempt_id, new.transaction_id, result)
        return Plan(intent=changes, outcomes=[told], value=result)

    return decide


def cancel_created() -> Decider:
    """Cancel an intent that nothing is under way of: no message, one outcome."""
    new = new_transaction("cancel")

    def decide(view: IntentView) -> Plan | Lost:
        if own(view, new.transaction_id):
            return Plan(value="canceled")
        if view.status not in {"created", "failed"} or view.live_transaction_id is not None:
            return Lost("operation_in_progress")
        told = outcome(new.transaction_id, new.transaction_id, "approved", actor="api")
        return Plan(
            intent={"status": "canceled", "canceled_by": "merchant"},
            transactions=[new],
            outcomes=[told],
            free_reference=True,
            value="canceled",
        )

    return decide


def reverse(charge: ChargeToRecord) -> tuple[NewAttempt, Decider]:
    """Close the window of a charge in doubt: its reversal takes the place of inquiries."""
    message = attempt(charge.transaction_id, "reversal", rrn=charge.rrn)

    def decide(view: IntentView) -> Plan | Lost:
        if any(a.attempt_id == message.attempt_id for a in view.attempts):
            return Plan(value="reversing")
        if view.live_transaction_id != charge.transaction_id or view.reversing:
            return Lost("already_decided")
        return Plan(
            intent={"reversing": True},
            attempts=[message],
            saf_add=[saf_row(message)],
            verify_drop=[row.attempt_id for row in view.verification],
            value="reversing",
        )

    return message, decide


def adopt(charge: ChargeToRecord) -> Decider:
    """Adopt a late approval of a charge in doubt."""
    told = outcome(
        charge.attempt_id,
        charge.transaction_id,
        "approved",
        phase=2,
        from_status="pending_verification",
        approval_code="A1B2C3",
    )

    def decide(view: IntentView) -> Plan | Lost:
        if attempt_of(view, charge.attempt_id).resolution:
            return Plan(value="adopted")
        if view.live_transaction_id != charge.transaction_id or view.reversing:
            return Lost("too_late")
        return Plan(
            intent={
                "status": "succeeded",
                "live_transaction_id": None,
                "captured_minor": view.amount_minor,
            },
            outcomes=[told],
            verify_drop=[row.attempt_id for row in view.verification],
            value="adopted",
        )

    return decide


def acknowledge_reversal(message: NewAttempt, charge: ChargeToRecord) -> Decider:
    """The final 0430: the original is resolved, the reversal acknowledged, the intent failed."""
    at_us = time.time_ns() // 1_000
    reversed_ = {"from_status": "reversing", "to_status": "reversed", "at_us": at_us}
    outcomes = [
        outcome(charge.attempt_id, charge.transaction_id, "reversed", phase=2, **reversed_),
        outcome(message.attempt_id, charge.transaction_id, "approved", **reversed_),
    ]

    def decide(view: IntentView) -> Plan | Lost:
        if attempt_of(view, message.attempt_id).result:
            return Plan(value="reversed")
        return Plan(
            intent={"status": "failed", "live_transaction_id": None, "reversing": False},
            outcomes=outcomes,
            saf_drop=[message.attempt_id],
            value="reversed",
        )

    return decide


def key_of(merchant_id: bytes) -> NewKey:
    """An idempotency key of a merchant, for whatever transaction takes it."""
    return NewKey(merchant_id, os.urandom(16), os.urandom(16), b"")


async def queued(
    ledger: LedgerHarness, row: ChargeToRecord, kind: str = "release", **changes: Any
) -> NewAttempt:
    """An advice of an intent, in the queue."""
    message = attempt(row.transaction_id, kind)
    plan = Plan(attempts=[message], saf_add=[saf_row(message, **changes)])
    await ledger.decisions.run([Decide(row.intent_id, lambda _: plan)])
    return message


async def queue_row(ledger: LedgerHarness, of: ChargeToRecord) -> SafRow:
    """The only advice of an intent in the queue."""
    [row] = (await view_of(ledger, of)).saf
    return row


async def view_of(ledger: LedgerHarness, row: ChargeToRecord) -> IntentView:
    """An intent as a step would see it."""
    return (await read_views(ledger.superuser, [row.intent_id]))[row.intent_id]


async def run_plan(ledger: LedgerHarness, row: ChargeToRecord, plan: Plan) -> Any:
    """Carry out a plan for an intent; gives its answer."""
    [answer] = await ledger.decisions.run([Decide(row.intent_id, lambda _: plan)])
    return answer
