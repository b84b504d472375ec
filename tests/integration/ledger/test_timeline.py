"""The timeline: one event per version of the intent, with who, when and what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.expiry import sweep_expired
from ledger.ids import event_id
from ledger.lifecycle import INTENT_STATUSES
from ledger.timeline import EVENT_TYPES, read_timeline
from tests.support.ledger import IDS, charge, outcome

if TYPE_CHECKING:
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
    assert events[1].data == message | {"transaction_type": "charge"}
    assert events[2].data == message | {"result": "unknown"}
    assert events[3].data == message | {
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


def test_every_status_has_an_event_type() -> None:
    """Whatever an intent becomes, its timeline can say so."""
    assert EVENT_TYPES.keys() == set(INTENT_STATUSES)
