"""From committed payments to deliveries: each event once, whatever is read twice or killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import trio

from chassis.clock import now_us
from ledger.ids import public_id
from ledger.stream.cursors import reset_cursor
from ledger.timeline import read_timeline
from ledger.webhooks.deliveries import forget
from tests.support.deciding import Decide, refund, settle_refund
from tests.support.webhooks import ROLE, Told, receiving

NOWHERE = "http://127.0.0.1:9/"
PAID = [
    ("payment_intent.created", "pending", 0),
    ("payment_intent.processing", "pending", 0),
    ("payment_intent.succeeded", "pending", 0),
]


async def bodies(told: Told) -> list[dict[str, Any]]:
    """What every event says, in the order committed."""
    rows = await told.ledger.rows(
        "SELECT body FROM merchant_events ORDER BY occurred_at, intent_version"
    )
    return [json.loads(body) for (body,) in rows]


async def test_a_charge_is_three_events(told: Told) -> None:
    """With the payment as it was at each, in the members of the contract."""
    await told.endpoint(NOWHERE)
    [row] = await told.ledger.charged(1)
    assert await told.tell() == 0
    assert await told.deliveries() == PAID
    created, processing, succeeded = await bodies(told)
    assert list(created) == ["id", "type", "timestamp", "sequence", "apiVersion", "data"]
    assert created["data"]["latestTransaction"] is None
    assert processing["data"]["latestTransaction"]["status"] == "pending"
    assert succeeded["data"]["latestTransaction"]["status"] == "succeeded"
    assert [one["data"]["status"] for one in (created, processing, succeeded)] == [
        "created",
        "processing",
        "succeeded",
    ]
    assert [one["sequence"] for one in (created, processing, succeeded)] == [1, 2, 3]
    assert succeeded["data"]["id"] == public_id("pi", row.intent_id)
    assert "clientSecret" not in succeeded["data"]


async def test_events_are_those_of_the_timeline(told: Told) -> None:
    """Type, id and sequence of each, through a doubt, a decline and refunds."""
    await told.endpoint(NOWHERE)
    rows = await told.ledger.charged(1)
    rows += await told.ledger.charged(1, result="declined")
    rows += await told.ledger.charged(1, result="unknown")
    for amount in (700, 1_799):
        new, decide = refund(amount)
        await told.ledger.decisions.run([Decide(rows[0].intent_id, decide)])
        settle = settle_refund(new, "approved")
        await told.ledger.decisions.run([Decide(rows[0].intent_id, settle)])
    await told.tell()
    found = {(one["id"], one["type"], one["sequence"]) for one in await bodies(told)}
    expected = set()
    for row in rows:
        story = await read_timeline(
            told.ledger.api, told.ledger.merchant_id, row.intent_id, live=False
        )
        expected |= {
            (public_id("evt", event.id), event.type, event.sequence)
            for event in story or ()
            if event.type.startswith("payment_intent.")
        }
    assert found == expected
    assert {type_ for _, type_, _ in found} >= {
        "payment_intent.partially_refunded",
        "payment_intent.refunded",
        "payment_intent.payment_failed",
        "payment_intent.pending_verification",
    }


async def test_an_endpoint_hears_of_its_types_alone(told: Told) -> None:
    """Of those it subscribed to, and of nothing while it is disabled."""
    one, _ = await told.endpoint(NOWHERE, types=["payment_intent.succeeded"])
    other, _ = await told.endpoint(NOWHERE)
    await told.ledger.rows(
        "UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = 'merchant'"
        " WHERE id = $1::uuid RETURNING id",
        other,
    )
    await told.ledger.charged(1)
    await told.tell()
    found = await told.ledger.rows("SELECT endpoint_id, event_type FROM webhook_deliveries")
    assert found == [(one, "payment_intent.succeeded")]


async def test_nothing_is_kept_of_merchants_without_endpoints(told: Told) -> None:
    """Their records are gone past."""
    await told.endpoint(NOWHERE, merchant_id=told.ids.next())
    await told.ledger.charged(2)
    assert await told.tell() == 0
    assert await bodies(told) == []


async def test_an_endpoint_hears_of_what_comes_after_it(told: Told) -> None:
    """Also of a payment that is older: the history says what its next version is."""
    [row] = await told.ledger.charged(1)
    await told.stream()
    await told.endpoint(NOWHERE)
    new, decide = refund(2_499)
    await told.ledger.decisions.run([Decide(row.intent_id, decide)])
    await told.ledger.decisions.run([Decide(row.intent_id, settle_refund(new, "approved"))])
    await told.tell()
    assert await told.deliveries() == [("payment_intent.refunded", "pending", 0)]


async def test_what_is_read_again_is_told_once(told: Told) -> None:
    """In pages of any size, from the beginning."""
    await told.endpoint(NOWHERE)
    await told.ledger.charged(3)
    await told.tell(page_max=1)
    before = await told.deliveries()
    events = await bodies(told)
    assert len(before) == 9
    await reset_cursor(told.pool, "webhooks", 0, {0: 0})
    await told.tell(page_max=4)
    assert await told.deliveries() == before
    assert await bodies(told) == events


async def test_what_is_old_is_forgotten(told: Told) -> None:
    """Events and tries, and deliveries that are over; a little at a time."""
    await told.endpoint(NOWHERE)
    await told.ledger.charged(1)
    await told.tell()
    await told.ledger.rows(
        "UPDATE webhook_deliveries SET status = 'delivered'"
        " WHERE event_type = 'payment_intent.created' RETURNING id"
    )
    past, future = now_us() - 10**9, now_us() + 10**6
    assert await forget(told.pool, before_us=past, events_before_us=past, limit=10) == 0
    assert await forget(told.pool, before_us=future, events_before_us=past, limit=10) == 1
    assert await forget(told.pool, before_us=past, events_before_us=future, limit=2) == 2
    assert await told.deliveries() == PAID[1:]
    assert len(await bodies(told)) == 1


@pytest.mark.slow
async def test_kill_nine_tells_each_event_once(told: Told) -> None:
    """Killed again and again with pages in flight: no delivery is lost or doubled."""
    await told.endpoint(NOWHERE)
    await told.endpoint(NOWHERE, types=["payment_intent.succeeded"])
    await told.ledger.charged(60)
    await told.stream()
    command = [sys.executable, "-m", "tests.support.webhooks", told.ledger.dsn(ROLE)]
    command += [str(told.backend.data_dir), "3"]
    start = partial(subprocess.Popen, command, stderr=subprocess.DEVNULL)
    killed_at: list[int] = []
    with trio.fail_after(60):
        while (made := len(await told.deliveries())) < 240:
            process = await trio.to_thread.run_sync(start)
            try:
                while len(await told.deliveries()) <= min(made + 40, 239):
                    await trio.sleep(0.01)
                    assert process.poll() is None
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            killed_at.append(made)
    assert len(killed_at) >= 3
    assert len(await told.deliveries()) == 240
    queued = await told.ledger.rows(
        "SELECT count(*), count(DISTINCT delivery_id) FROM webhook_queue"
    )
    assert queued == [(240, 240)]


async def test_a_payment_is_heard_of_within_a_second(told: Told) -> None:
    """By a receiver, from the commit on."""
    async with receiving() as receiver:
        await told.endpoint(receiver.url)
        async with told.sending():
            await told.ledger.charged(1)
            with trio.fail_after(5):
                await told.tell()
                await receiver.until(3)
            await told.until({"delivered"})
