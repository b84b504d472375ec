"""Our side of 0500: what a network moved for us on one settlement date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ledger.completions import Acknowledgment, CompletionCommitter
from ledger.deciding.records import Plan
from ledger.errors import RowError
from ledger.records import CompletionToRecord
from ledger.rows import NetworkTotals, Total
from ledger.totals import network_totals
from tests.support.deciding import Decide, Decider, refund, reverse
from tests.support.deciding import outcome as decided
from tests.support.ledger import IDS, LIMITS, NOW_US, charge, outcome

if TYPE_CHECKING:
    from ledger.deciding.records import IntentView
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness

TODAY = datetime.now(tz=UTC).date()
DATE = TODAY.isoformat()
OTHER_DATE = (TODAY + timedelta(days=1)).isoformat()


async def _charged(
    ledger: LedgerHarness, amount_minor: int, result: str = "approved", **changes: Any
) -> ChargeToRecord:
    [of] = await ledger.created(amount_minor=amount_minor, **changes.pop("intent", {}))
    row = charge(of, **changes.pop("charge", {}))
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([outcome(row, result, **{"settles_on": DATE} | changes)])
    return row


async def _totals(ledger: LedgerHarness, *, network: str, currency: str = "usd") -> NetworkTotals:
    reader = await ledger.session("turnout_reader")
    return await network_totals(reader, network, currency, DATE)


async def _reversed(ledger: LedgerHarness, row: ChargeToRecord, response_code: str = "00") -> None:
    """Reverse a charge in doubt; the network answers so, on this date."""
    message, closing = reverse(row)
    await ledger.decisions.run([Decide(row.intent_id, closing)])
    back = {"from_status": "reversing", "to_status": "reversed", "settles_on": DATE}
    outcomes = [
        decided(row.attempt_id, row.transaction_id, "reversed", phase=2, **back),
        decided(
            message.attempt_id,
            row.transaction_id,
            "approved",
            response_code=response_code,
            **back,
        ),
    ]
    freed = {"status": "failed", "live_transaction_id": None, "reversing": False}
    plan = Plan(intent=freed, outcomes=outcomes, saf_drop=[message.attempt_id])
    assert await ledger.decisions.run([Decide(row.intent_id, lambda _: plan)]) == [None]


async def test_sales_are_counted_once_on_their_date(ledger: LedgerHarness) -> None:
    """Approvals of this network, currency and date; late ones and parts with what they moved."""
    of = {"charge": {"network": "sales"}}
    await _charged(ledger, 1_000, **of)
    await _charged(ledger, 2_000, "partial", approved_minor=700, **of)
    late = await _charged(ledger, 4_000, "unknown", settles_on="", **of)
    await ledger.outcomes.settle([outcome(late, phase=2, settles_on=DATE)])
    await _charged(ledger, 8_000, "declined", **of)
    await _charged(ledger, 16_000, **of | {"settles_on": OTHER_DATE})
    await _charged(ledger, 32_000, **of | {"settles_on": ""})
    await _charged(ledger, 64_000, charge={"network": "elsewhere"})
    await _charged(ledger, 128, intent={"currency": "eur"}, **of)
    assert await _totals(ledger, network="sales") == NetworkTotals(sales=Total(3, 5_700))
    eur = await _totals(ledger, network="sales", currency="eur")
    assert eur == NetworkTotals(sales=Total(1, 128))
    assert await _totals(ledger, network="nobody") == NetworkTotals()


async def test_dual_messages_count_when_they_complete(ledger: LedgerHarness) -> None:
    """An authorization moves nothing; the acknowledged 0220 does."""
    message = CompletionToRecord(IDS.next(), "0220", "000009", "0102030407", NOW_US)
    of = {"charge": {"network": "dual", "mti": "0100"}}
    row = await _charged(ledger, 1_500, completion=message, **of)
    await _charged(ledger, 900, **of)
    assert await _totals(ledger, network="dual") == NetworkTotals()
    committer = CompletionCommitter(
        ledger.connect, ledger.switch, ledger.lease.epoch, limits=LIMITS
    )
    told = Acknowledgment(
        message.attempt_id, row.intent_id, "00", "network:dual", NOW_US, settles_on=DATE
    )
    assert await committer.acknowledge([told]) == [True]
    await committer.aclose()
    assert await _totals(ledger, network="dual") == NetworkTotals(captures=Total(1, 1_500))


async def test_refunds_are_credits(ledger: LedgerHarness) -> None:
    """Several of one payment, each by its own amount."""
    row = await _charged(ledger, 5_000, charge={"network": "vsim"}, settles_on="")
    before = await _totals(ledger, network="vsim")
    for amount_minor in (1_200, 300):
        new, refunding = refund(amount_minor)
        answering = _refund_answer(new.transaction_id, amount_minor)
        for decider in (refunding, answering):
            await ledger.decisions.run([Decide(row.intent_id, decider)])
    after = await _totals(ledger, network="vsim")
    assert after.refunds.count - before.refunds.count == 2
    assert after.refunds.sum_minor - before.refunds.sum_minor == 1_500


def _refund_answer(transaction_id: bytes, amount_minor: int) -> Decider:
    """A decider that settles a refund on this date."""

    def decide(view: IntentView) -> Plan:
        [message] = [a for a in view.attempts if a.transaction_id == transaction_id]
        told = decided(message.attempt_id, transaction_id, "approved", settles_on=DATE)
        changes = {
            "refund_pending_minor": view.refund_pending_minor - amount_minor,
            "refunded_minor": view.refunded_minor + amount_minor,
        }
        return Plan(intent=changes, outcomes=[told])

    return decide


async def test_a_reversed_sale_nets_to_nothing(ledger: LedgerHarness) -> None:
    """Never answered, it counts with its reversal; one that the network never had (25) does not."""
    before = await _totals(ledger, network="vsim")
    row = await _charged(ledger, 2_499, "unknown", settles_on="")
    await _reversed(ledger, row)
    other = await _charged(ledger, 2_499, "unknown", settles_on="")
    await _reversed(ledger, other, response_code="25")
    after = await _totals(ledger, network="vsim")
    assert after.sales.count - before.sales.count == 1
    assert after.sale_reversals.count - before.sale_reversals.count == 1
    assert after.net_minor == before.net_minor


def test_the_net_is_debits_less_credits() -> None:
    """DE 97: what was sold and captured, less what was given or taken back."""
    totals = NetworkTotals(
        sales=Total(3, 1_000),
        captures=Total(1, 500),
        refunds=Total(2, 300),
        sale_reversals=Total(1, 100),
        refund_reversals=Total(1, 50),
    )
    assert totals.net_minor == 1_000 + 500 - 300 - 100 + 50


async def test_a_date_is_a_date(ledger: LedgerHarness) -> None:
    """DE 15 has no year: whoever asks must know it."""
    reader = await ledger.session("turnout_reader")
    with pytest.raises(RowError):
        await network_totals(reader, "vsim", "usd", "1123")
