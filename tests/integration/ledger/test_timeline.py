"""The timeline: one event per version of the intent, with who, when and what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.deciding.records import IntentView, Plan
from ledger.expiry import sweep_expired
from ledger.ids import event_id
from ledger.saf import count_saf_sends
from ledger.timeline import read_timeline
from tests.support.deciding import Decide, acknowledge_reversal, refund, reverse
from tests.support.deciding import outcome as decided
from tests.support.ledger import IDS, NOW_US, charge, outcome

if TYPE_CHECKING:
    from ledger.records import IntentToCreate, TimelineEvent
    from tests.support.ledger import LedgerHarness


async def test_a_payment_s_story_is_told_in_order(ledger: LedgerHarness) -> None:
    """Created, charged, in doubt, adopted: each with its actor, numbers and codes."""
    [of] = await ledger.created()
    row = charge(of, stan="000042", rrn="0RRNRRNRRNRR", de7="1122074500")
    await ledger.charges.record([row], lane="fast")
    doubt = outcome(row, "unknown", actor="switch")
    late = outcome(row, "approved", phase=2, actor="network:vsim")
    await ledger.outcomes.settle([doubt])
    await ledger.outcomes.settle([late])
    events = await read_timeline(ledger.api, of.merchant_id, of.intent_id, live=False)
    assert events is not None
    assert [(e.sequence, e.type, e.actor) for e in events] == [
        (1, "payment_intent.created", "api"),
        (2, "payment_intent.processing", "api"),
        (3, "payment_intent.pending_verification", "switch"),
        (4, "payment_intent.succeeded", "network:vsim"),
    ]
    assert [e.transaction_id for e in events] == [None, *[row.transaction_id] * 3]
    assert events[0].data == {
        "amount_minor": 2499,
        "currency": "usd",
        "request_id": of.request_id.hex(),
    }
    message = {
        "amount_minor": 2499,
        "currency": "usd",
        "network": "vsim",
        "mti": "0200",
        "stan": "000042",
        "rrn": "0RRNRRNRRNRR",
        "de7": "1122074500",
        "request_id": row.request_id.hex(),
    }
    message |= {"transaction_type": "charge", "kind": "request"}
    assert events[1].data == message | {"transaction_status": "pending"}
    assert events[2].data == message | {
        "transaction_status": "pending_verification",
        "result": "unknown",
    }
    assert events[3].data == message | {
        "transaction_status": "succeeded",
        "result": "approved",
        "response_code": "00",
        "approval_code": "A1B2C3",
    }
    assert (events[2].at_us, events[3].at_us) == (doubt.at_us, late.at_us)
    assert [e.id for e in events] == [
        event_id("payment_intents", of.intent_id, version) for version in (1, 2, 3, 4)
    ]


async def test_declines_and_second_tries_show(ledger: LedgerHarness) -> None:
    """Each transaction has its own events; a decline says why and what to do."""
    [of] = await ledger.created()
    first, second = charge(of), charge(of)
    for row, result in ((first, "declined"), (second, "approved")):
        await ledger.charges.record([row], lane="fast")
        await ledger.outcomes.settle([outcome(row, result)])
    events = await read_timeline(ledger.api, of.merchant_id, of.intent_id, live=False)
    assert events is not None
    assert [(e.sequence, e.type) for e in events] == [
        (1, "payment_intent.created"),
        (2, "payment_intent.processing"),
        (3, "payment_intent.payment_failed"),
        (4, "payment_intent.processing"),
        (5, "payment_intent.succeeded"),
    ]
    assert events[2].data["decline_code"] == "insufficient_funds"
    assert events[2].data["advice"] == "retry_later"
    assert {e.transaction_id for e in events[3:]} == {second.transaction_id}


async def test_an_expired_intent_s_story_ends_with_the_sweeper(ledger: LedgerHarness) -> None:
    """The last event is that it was canceled, by expiry."""
    [of] = await ledger.created(expires_at_us=1_000_000)
    await sweep_expired(await ledger.connect(), now_us=2_000_000, limit=100)
    events = await read_timeline(ledger.api, of.merchant_id, of.intent_id, live=False)
    assert events is not None
    assert [(e.sequence, e.type, e.actor) for e in events][1:] == [
        (2, "payment_intent.canceled", "expiry")
    ]


async def test_absent_and_foreign_intents_have_no_timeline(ledger: LedgerHarness) -> None:
    """None, not an empty story."""
    [of] = await ledger.created()
    assert await read_timeline(ledger.api, IDS.next(), of.intent_id, live=False) is None
    assert await read_timeline(ledger.api, of.merchant_id, IDS.next(), live=False) is None
    assert await read_timeline(ledger.api, of.merchant_id, of.intent_id, live=True) is None


async def test_a_reversal_s_story(ledger: LedgerHarness) -> None:
    """In doubt, reversed, sent twice, acknowledged: each message with its own numbers."""
    [of] = await ledger.created()
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([outcome(row, "unknown", actor="switch")])
    message, begin = reverse(row)
    await ledger.decisions.run([Decide(of.intent_id, begin)])
    sends = [(message.attempt_id, NOW_US)]
    for _ in range(2):
        await count_saf_sends(await ledger.connect(), ledger.switch, ledger.lease.epoch, sends)
    [waiting] = await _events(ledger, of, "transaction.reversing")
    assert (waiting.actor, waiting.data["stan"], waiting.data["sends"]) == (
        "switch",
        message.stan,
        2,
    )
    await ledger.decisions.run([Decide(of.intent_id, acknowledge_reversal(message, row))])
    events = await read_timeline(ledger.api, of.merchant_id, of.intent_id, live=False)
    assert events is not None
    assert [(e.sequence, e.type, e.data.get("mti")) for e in events][2:] == [
        (3, "payment_intent.pending_verification", "0200"),
        (4, "transaction.reversing", "0420"),
        (5, "attempt.ended", "0420"),
        (5, "payment_intent.payment_failed", "0200"),
    ]
    assert "sends" not in events[3].data
    assert (events[4].data["sends"], events[4].data["result"]) == (2, "approved")
    assert events[5].data["result"] == "reversed"
    assert {e.data.get("rrn") for e in events[1:]} == {row.rrn}


async def test_an_advice_in_the_manual_queue_shows(ledger: LedgerHarness) -> None:
    """A merchant who wonders sees that a person looks after it."""
    [of] = await ledger.created()
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([outcome(row, "unknown", actor="switch")])
    message, begin = reverse(row)
    await ledger.decisions.run([Decide(of.intent_id, begin)])
    await ledger.superuser.script("UPDATE store_and_forward SET manual = true")
    [waiting] = await _events(ledger, of, "transaction.reversing")
    assert (waiting.data["stan"], waiting.data["manual"]) == (message.stan, True)


async def test_refunds_are_told_as_what_they_are(ledger: LedgerHarness) -> None:
    """A refund begins without a change of the intent's status, and so does a failed one end."""
    [row] = await ledger.charged()
    new, begin = refund(500)
    await ledger.decisions.run([Decide(row.intent_id, begin)])

    def decline(view: IntentView) -> Plan:
        [message] = [a for a in view.attempts if a.transaction_id == new.transaction_id]
        told = decided(message.attempt_id, new.transaction_id, "declined")
        return Plan(intent={"refund_pending_minor": 0}, outcomes=[told])

    await ledger.decisions.run([Decide(row.intent_id, decline)])
    events = await read_timeline(ledger.api, row.merchant_id, row.intent_id, live=False)
    assert events is not None
    told = [(e.type, e.data.get("transaction_type"), e.data["amount_minor"]) for e in events]
    assert told[3:] == [
        ("transaction.created", "refund", 500),
        ("transaction.failed", "refund", 500),
    ]


async def _events(ledger: LedgerHarness, of: IntentToCreate, type_: str) -> list[TimelineEvent]:
    events = await read_timeline(ledger.api, of.merchant_id, of.intent_id, live=False)
    return [event for event in events or [] if event.type == type_]
