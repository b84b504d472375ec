"""What time and crashes leave behind of operations: looked after by a real switch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chassis.mux import MuxClosedError
from chassis.settings import Switch
from ledger.pgtypes import uuid_
from ledger.queries import Query
from ledger.records import IntentToCreate
from ledger.saf import saf_resolve
from switch.wire import Done
from tests.support.postgres import LedgerDSN
from tests.support.switch_stack import (
    SECOND_NETWORK,
    SILENT,
    SLOW,
    WITHIN_S,
    Acquirer,
    open_switch_stack,
)

LAPSE = Query(
    "lapse",
    """
    WITH lapsed AS (
        UPDATE payment_intents SET capture_before = now() - interval '1 minute'
        WHERE id = $1::uuid
    )
    INSERT INTO intent_expiry (due_at, intent_id) VALUES (now() - interval '1 minute', $1::uuid)
    """,
)
SET_ASIDE = Query(
    "set_aside", "UPDATE store_and_forward SET manual = true WHERE attempt_id = $1::uuid"
)
QUICK = {"inquiry_times_s": (0.2, 0.5), "inquiry_window_s": 4.0}


@pytest.fixture
async def acquirer(open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN) -> AsyncIterator[Acquirer]:
    """A switch that sweeps often, and networks that are asked soon."""
    sweeping = Switch(sweep_interval_s=0.2)
    async with open_switch_stack(
        open_tmp_path, fresh_ledger_dsn, switch=sweeping, network=QUICK
    ) as opened:
        yield opened


async def _held(acquirer: Acquirer) -> IntentToCreate:
    """A payment whose amount is held and may be captured."""
    (of,) = await acquirer.create(capture_method="manual")
    reply = await acquirer.client.call(acquirer.charge_of(of, SECOND_NETWORK))
    assert isinstance(reply, Done)
    assert await acquirer.status(of.intent_id) == "authorized"
    return of


async def test_an_authorization_that_nobody_captures_is_given_back(acquirer: Acquirer) -> None:
    """The sweeper cancels it at its network, as a merchant would; others stay as they are."""
    lapsed, kept = [await _held(acquirer) for _ in range(2)]
    async with acquirer.superuser() as session:
        await session.run(LAPSE, [uuid_(lapsed.intent_id)])
    await acquirer.wait_for(lapsed.intent_id, "canceled")
    view = await acquirer.view(lapsed)
    assert view.canceled_by == "expiry"
    cancel = view.transactions[-1]
    assert (cancel.type, cancel.status) == ("cancel", "succeeded")
    assert [(each.mti, each.result) for each in view.attempts] == [
        ("0100", "approved"),
        ("0400", "approved"),
    ]
    assert await acquirer.status(kept.intent_id) == "authorized"


async def test_a_refund_that_a_crash_cut_off_is_found_out(acquirer: Acquirer) -> None:
    """Its amount stays reserved meanwhile; the network says that it was made."""
    (of,) = await acquirer.create()
    paid = await acquirer.client.call(acquirer.charge_of(of, SLOW))
    assert isinstance(paid, Done)
    await acquirer.wait_for(of.intent_id, "succeeded")

    async def refund() -> None:
        with pytest.raises(MuxClosedError):
            await acquirer.order(of, "refund", 1_000)

    before = acquirer.decided("vsim")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refund)
        with trio.fail_after(WITHIN_S):
            while not (await acquirer.view(of)).refund_pending_minor:
                await trio.sleep(0.02)
        await acquirer.wait_for_decided("vsim", before + 1)  # recorded is not sent
        await trio.to_thread.run_sync(acquirer.stack.kill, "switch")
    await trio.to_thread.run_sync(acquirer.stack.start, "switch")
    with trio.fail_after(WITHIN_S):
        while (view := await acquirer.view(of)).refund_pending_minor:
            await trio.sleep(0.05)
    refunded = view.transactions[-1]
    assert (view.status, view.refunded_minor) == ("succeeded", 1_000)
    assert (refunded.type, refunded.status) == ("refund", "succeeded")
    first = next(each for each in view.attempts if each.transaction_id == refunded.transaction_id)
    assert (first.result, first.resolution) == ("unknown", "approved")


async def test_an_operator_s_word_is_as_good_as_the_network_s(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """A reversal that no network takes: set aside, resolved by a person, and the payment ends."""
    reversing = {"unknown_policy": "reverse"}
    async with open_switch_stack(open_tmp_path, fresh_ledger_dsn, network=reversing) as acquirer:
        (of,) = await acquirer.create()
        charging = acquirer.charge_of(of, SILENT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acquirer.client.call, charging)
            await acquirer.wait_for(of.intent_id, "processing")
            await trio.to_thread.run_sync(acquirer.stack.kill, "vsim")
        with trio.fail_after(WITHIN_S):
            while not (view := await acquirer.view(of)).saf:
                await trio.sleep(0.02)
        assert (view.status, view.reversing) == ("pending_verification", True)
        [row] = view.saf
        async with acquirer.superuser() as session:
            await session.run(SET_ASIDE, [uuid_(row.attempt_id)])
            note = "J. of vsim says that it is gone"
            await saf_resolve(session, row.attempt_id, "acknowledged", operator="ada", note=note)
        await acquirer.wait_for(of.intent_id, "failed")
        view = await acquirer.view(of)
        assert view.saf == []
        assert view.transactions[-1].status == "reversed"
        assert [(each.kind, each.result, each.resolution) for each in view.attempts] == [
            ("request", "unknown", "manual"),
            ("reversal", "approved", ""),
        ]
