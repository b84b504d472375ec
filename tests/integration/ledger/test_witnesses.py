"""What benchmarks and chaos runs read in the ledger, on rows as the switch writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from benchmarks.witnesses import attempts_held
from chaos.ledger_rows import read_rows
from ledger.deciding.records import Plan
from ledger.ids import public_id
from tests.support.deciding import Decide, attempt, remark
from tests.support.ledger import outcome

if TYPE_CHECKING:
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness


async def _held(ledger: LedgerHarness, of: ChargeToRecord) -> list[tuple[str, str, str]]:
    """Kind, own result and transaction's status of the attempts of an intent, by STAN."""
    dsn = ledger.dsn("turnout_reader")
    rows = await trio.to_thread.run_sync(attempts_held, dsn)
    name = public_id("pi", of.intent_id)
    found = sorted((row for row in rows if row.intent == name), key=lambda row: row.stan)
    return [(row.kind, row.result, row.status) for row in found]


async def _status(ledger: LedgerHarness, of: ChargeToRecord) -> tuple[str, int]:
    """What a chaos run takes the charge for: status and amount."""
    found = await trio.to_thread.run_sync(read_rows, ledger.dsn("turnout_reader"))
    name = public_id("txn", of.transaction_id)
    [(status, amount)] = [
        (row.status, row.amount) for row in found.transactions if row.transaction == name
    ]
    return status, amount


async def _asked(ledger: LedgerHarness, of: ChargeToRecord) -> None:
    """An inquiry about a charge in doubt, unanswered."""
    inquiry = attempt(of.transaction_id, "inquiry", rrn=of.rrn, stan="900002")
    said = remark(inquiry.attempt_id, of.transaction_id, "unknown", "pending_verification")
    for plan in (Plan(attempts=[inquiry]), Plan(outcomes=[said])):
        await ledger.decisions.run([Decide(of.intent_id, lambda _, plan=plan: plan)])


async def test_an_inquiry_has_the_status_of_its_transaction(ledger: LedgerHarness) -> None:
    """Its own result moves nothing: the transaction is what the last outcome made it that did."""
    [row] = await ledger.charged(result="unknown", stan="900001")
    await _asked(ledger, row)
    assert await _held(ledger, row) == [
        ("request", "unknown", "pending_verification"),
        ("inquiry", "unknown", "pending_verification"),
    ]
    assert await _status(ledger, row) == ("pending_verification", 2499)
    await ledger.outcomes.settle([outcome(row, "approved", phase=2)])
    assert await _status(ledger, row) == ("succeeded", 2499)
    assert await _held(ledger, row) == [
        ("request", "approved", "succeeded"),
        ("inquiry", "unknown", "succeeded"),
    ]


async def test_a_charge_without_outcome_is_pending(ledger: LedgerHarness) -> None:
    """An attempt that nothing has come of says so, and so does its transaction."""
    [row] = await ledger.charged(result="unknown", stan="900001")
    [other] = await ledger.charged(result="declined", stan="900001")
    await ledger.rows("DELETE FROM outcomes WHERE intent_id = $1::uuid", row.intent_id)
    assert await _held(ledger, row) == [("request", "", "pending")]
    assert await _status(ledger, row) == ("pending", 2499)
    assert await _status(ledger, other) == ("failed", 2499)
    assert await _held(ledger, other) == [("request", "declined", "failed")]
