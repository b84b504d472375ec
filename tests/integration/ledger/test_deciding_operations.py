"""What operations make of an intent, decided under its lock against Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.deciding.records import (
    Plan,
    SafRow,
)
from tests.support.deciding import (
    Decide,
    acknowledge_reversal,
    attempt,
    outcome,
    refund,
    remark,
    reverse,
    run_plan,
    saf_row,
    view_of,
)
from tests.support.ledger import NOW_US, charge

if TYPE_CHECKING:
    from tests.support.ledger import LedgerHarness


async def test_a_reversal_ends_in_one_commit(ledger: LedgerHarness) -> None:
    """The original is resolved, the advice acknowledged and out of its queue, the intent free."""
    [row] = await ledger.charged(result="unknown")
    message, closing = reverse(row)
    await ledger.decisions.run([Decide(row.intent_id, closing)])
    ending = Decide(row.intent_id, acknowledge_reversal(message, row))
    assert await ledger.decisions.run([ending]) == ["reversed"]
    view = await view_of(ledger, row)
    assert (view.status, view.live_transaction_id, view.reversing) == ("failed", None, False)
    assert (view.version, view.saf) == (5, [])
    assert view.transactions[0].status == "reversed"
    assert [(a.result, a.resolution) for a in view.attempts] == [
        ("unknown", "reversed"),
        ("approved", ""),
    ]
    versions = await ledger.rows(
        "SELECT attempt_id, phase, intent_version, intent_status, owner, epoch FROM outcomes"
        " WHERE intent_id = $1::uuid AND from_status = 'reversing' ORDER BY phase",
        row.intent_id,
    )
    owned = (5, "failed", ledger.switch, ledger.lease.epoch)
    assert versions == [(message.attempt_id, 1, *owned), (row.attempt_id, 2, *owned)]


async def test_a_contradiction_is_reversed_and_stays_failed(ledger: LedgerHarness) -> None:
    """A second answer that approves a decline is taken back; the transaction is over as it was."""
    [row] = await ledger.charged(result="declined")
    message = attempt(row.transaction_id, "reversal")
    await run_plan(ledger, row, Plan(attempts=[message], saf_add=[saf_row(message)]))
    view = await view_of(ledger, row)
    assert (view.version, view.transactions[0].status) == (3, "failed")
    told = remark(message.attempt_id, row.transaction_id, "approved", "failed")
    await run_plan(ledger, row, Plan(outcomes=[told], saf_drop=[message.attempt_id]))
    view = await view_of(ledger, row)
    assert (view.version, view.transactions[0].status, view.saf) == (3, "failed", [])


async def test_a_partial_approval_that_nobody_wants_is_reversed(ledger: LedgerHarness) -> None:
    """In one commit: the answer, the reversal, the mutex kept."""
    [of] = await ledger.created()
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    message = attempt(row.transaction_id, "reversal", amount_minor=1000)
    told = outcome(
        row.attempt_id, row.transaction_id, "partial", to_status="reversing", approved_minor=1000
    )
    plan = Plan(
        intent={"status": "pending_verification", "reversing": True},
        outcomes=[told],
        attempts=[message],
        saf_add=[saf_row(message)],
    )
    await run_plan(ledger, row, plan)
    view = await view_of(ledger, row)
    assert (view.status, view.live_transaction_id) == ("pending_verification", row.transaction_id)
    assert view.transactions[0].status == "reversing"
    back = {"from_status": "reversing", "to_status": "reversed"}
    ended = outcome(message.attempt_id, row.transaction_id, "approved", **back)
    freed = {"status": "failed", "live_transaction_id": None, "reversing": False}
    await run_plan(ledger, row, Plan(intent=freed, outcomes=[ended], saf_drop=[message.attempt_id]))
    assert (await view_of(ledger, row)).transactions[0].status == "reversed"


async def test_a_refund_s_reversal_leaves_the_intent_s_status(ledger: LedgerHarness) -> None:
    """Its amount stays reserved until the network has taken it back; no mutex is touched."""
    [row] = await ledger.charged()
    new, refunding = refund(800)
    await ledger.decisions.run([Decide(row.intent_id, refunding)])
    message = attempt(new.transaction_id, "reversal", amount_minor=800)
    asked = (await view_of(ledger, row)).attempts[-1]
    doubt = outcome(asked.attempt_id, new.transaction_id, "unknown")
    await run_plan(ledger, row, Plan(outcomes=[doubt]))
    await run_plan(ledger, row, Plan(attempts=[message], saf_add=[saf_row(message)]))
    view = await view_of(ledger, row)
    assert (view.status, view.reversing, view.refund_pending_minor) == ("succeeded", False, 800)
    assert view.transactions[-1].status == "reversing"
    assert view.version == 6


async def test_an_advice_of_an_operator_stands(ledger: LedgerHarness) -> None:
    """What a plan says of a resolved advice's queue does not overwrite the operator's word."""
    [row] = await ledger.charged(result="unknown")
    message, closing = reverse(row)
    await ledger.decisions.run([Decide(row.intent_id, closing)])
    await ledger.rows(
        "UPDATE store_and_forward SET resolution = 'acknowledged', resolved_by = 'ada'"
        " WHERE attempt_id = $1::uuid RETURNING 1",
        message.attempt_id,
    )
    late = SafRow(message.attempt_id, row.transaction_id, "reversal", "vsim", NOW_US + 99)
    assert await run_plan(ledger, row, Plan(saf_update=[late], value="done")) == "done"
    [queued] = (await view_of(ledger, row)).saf
    told = (queued.due_at_us, queued.resolution, queued.resolved_by)
    assert told == (NOW_US, "acknowledged", "ada")
