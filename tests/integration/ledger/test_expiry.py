"""The sweeper: cancels idle intents whose time is over, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import trio

from ledger.errors import DatabaseError, RowError
from ledger.expiry import (
    KEYS_A_BATCH_MAX,
    PUT_OFF_US,
    Swept,
    expire_idempotency_keys,
    sweep_expired,
)
from ledger.records import Lost, Won
from tests.support.deciding import Decide, capture
from tests.support.ledger import charge, kinds, outcome

if TYPE_CHECKING:
    from ledger.connection import Connection
    from ledger.records import ChargeToRecord, IntentToCreate
    from tests.support.ledger import LedgerHarness

DUE_US = 1_000_000
LATER_US = 2_000_000


@pytest.fixture
async def switch(ledger: LedgerHarness) -> Connection:
    """A session with the switch's rights; whatever other tests left due is gone."""
    await ledger.rows("DELETE FROM intent_expiry RETURNING intent_id")
    return await ledger.connect()


async def _due(ledger: LedgerHarness, of: IntentToCreate) -> list[int]:
    sql = "SELECT due_at FROM intent_expiry WHERE intent_id = $1::uuid"
    return [due_at for (due_at,) in await ledger.rows(sql, of.intent_id)]


async def test_created_and_failed_intents_are_canceled(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """Both end canceled, by expiry; the reference is free again; a late charge hears of it."""
    [created] = await ledger.created(expires_at_us=DUE_US, merchant_reference="created")
    [failed] = await ledger.created(expires_at_us=DUE_US, merchant_reference="failed")
    row = charge(failed)
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([outcome(row, "declined")])
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(2, 2, 0)
    for of, version in ((created, 2), (failed, 4)):
        [stored] = await ledger.rows(
            "SELECT status, canceled_by, version FROM payment_intents WHERE id = $1::uuid",
            of.intent_id,
        )
        assert stored == ("canceled", "expiry", version)
        assert await _due(ledger, of) == []
        assert kinds(await ledger.charges.record([charge(of)], lane="fast")) == ["intent_canceled"]
    for name in ("created", "failed"):
        await ledger.created(merchant_reference=name)
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(0, 0, 0)


async def test_nothing_is_canceled_before_its_time(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """An intent due later stays, with its timer."""
    [of] = await ledger.created(expires_at_us=LATER_US + 1)
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(0, 0, 0)
    assert await ledger.status(of) == "created"
    assert await _due(ledger, of) == [LATER_US + 1]


@pytest.mark.parametrize("result", [None, "unknown"])
async def test_busy_intents_are_put_off(
    ledger: LedgerHarness, switch: Connection, result: str | None
) -> None:
    """While an operation is live the sweep looks again later."""
    [of] = await ledger.created(expires_at_us=DUE_US)
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    if result:
        await ledger.outcomes.settle([outcome(row, result)])
    before = await ledger.status(of)
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(0, 0, 1)
    assert await ledger.status(of) == before
    assert await _due(ledger, of) == [LATER_US + PUT_OFF_US]


async def test_a_verification_under_way_puts_expiry_off(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """The intent is still created, but its mutex is taken."""
    [of] = await ledger.created(expires_at_us=DUE_US)
    await ledger.rows(
        "UPDATE payment_intents SET live_transaction_id = gen_random_uuid()"
        " WHERE id = $1::uuid RETURNING id",
        of.intent_id,
    )
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(0, 0, 1)
    assert await ledger.status(of) == "created"


async def _authorized(ledger: LedgerHarness, capture_before_us: int) -> ChargeToRecord:
    [of] = await ledger.created(expires_at_us=DUE_US, capture_method="manual")
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    told = outcome(row, intent_to="authorized", capture_before_us=capture_before_us)
    await ledger.outcomes.settle([told])
    return row


async def test_a_lapsed_authorization_is_named_until_it_is_canceled(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """It takes a message to cancel it: named now, and again in five minutes, but not in between."""
    row = await _authorized(ledger, DUE_US + 5)
    assert await sweep_expired(switch, now_us=DUE_US, limit=10) == Swept(0, 1, 0)
    lapsed = Swept(0, 0, 1, [row.intent_id])
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == lapsed
    assert await ledger.status(row) == "authorized"
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(0, 0, 0)
    again_us = LATER_US + PUT_OFF_US
    assert await sweep_expired(switch, now_us=again_us, limit=10) == lapsed


@pytest.mark.parametrize("busy", [True, False])
async def test_of_two_timers_of_an_intent_one_goes_on(
    ledger: LedgerHarness,
    switch: Connection,
    busy: bool,  # noqa: FBT001
) -> None:
    """Both due at once, busy or lapsed: the intent is looked at once more, not twice."""
    row = await _authorized(ledger, DUE_US + 5)
    if busy:
        await ledger.decisions.run([Decide(row.intent_id, capture(100)[1])])
    swept = await sweep_expired(switch, now_us=LATER_US, limit=10)
    assert swept == Swept(0, 1, 1, [] if busy else [row.intent_id])
    assert await ledger.count("intent_expiry", row) == 1


async def test_keys_are_forgotten_after_thirty_days_and_never_sooner(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """In bounded batches, by the switch alone; younger keys stay, whoever asks."""
    await ledger.rows("DELETE FROM idempotency RETURNING 1")
    await ledger.created(4)
    await ledger.rows(
        "INSERT INTO idempotency (merchant_id, key_digest, request_hash, intent_id, created_at)"
        " SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),"
        " now() - interval '30 days' + make_interval(secs => n * 60 - 390)"
        " FROM generate_series(1, 10) AS n RETURNING 1"
    )
    assert [await expire_idempotency_keys(switch, limit=4) for _ in range(3)] == [4, 2, 0]
    assert await ledger.rows("SELECT count(*) FROM idempotency") == [(8,)]
    for session in (ledger.api, await ledger.session("turnout_admin")):
        with pytest.raises(DatabaseError, match="permission denied"):
            await expire_idempotency_keys(session)
    for limit in (0, KEYS_A_BATCH_MAX + 1):
        with pytest.raises(RowError):
            await expire_idempotency_keys(switch, limit=limit)


async def test_a_succeeded_intent_s_timer_is_over(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """It is not canceled and keeps its reference."""
    [of] = await ledger.created(expires_at_us=DUE_US, merchant_reference="paid")
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([outcome(row)])
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(0, 1, 0)
    assert await ledger.status(of) == "succeeded"
    assert await _due(ledger, of) == []
    assert await ledger.count("merchant_references", of) == 1


async def test_sweeps_are_bounded_and_skip_what_is_locked(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """At most `limit` a sweep, oldest first; a locked intent keeps its place."""
    intents = [(await ledger.created(expires_at_us=DUE_US + n))[0] for n in range(5)]
    assert await sweep_expired(switch, now_us=LATER_US, limit=2) == Swept(2, 2, 0)
    assert await ledger.status(intents[2]) == "created"
    async with ledger.held(intents[3]):
        assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(2, 2, 0)
    assert await ledger.status(intents[3]) == "created"
    assert await sweep_expired(switch, now_us=LATER_US, limit=10) == Swept(1, 1, 0)


async def test_charges_race_expiry_and_one_of_them_wins(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """Each intent is either charged or canceled, and its charge's verdict says the same."""
    [warm] = await ledger.created()
    await ledger.charges.record([charge(warm)], lane="slow")
    intents = await ledger.created(240, expires_at_us=DUE_US)
    verdicts = {}

    async def sweep() -> None:
        handled = 1
        while handled:
            swept = await sweep_expired(switch, now_us=LATER_US, limit=5)
            handled = swept.finished + swept.put_off

    async def charge_all() -> None:
        for first in range(len(intents), 0, -10):
            batch = [charge(of) for of in intents[first - 10 : first]]
            for row, verdict in zip(
                batch, await ledger.charges.record(batch, lane="slow"), strict=True
            ):
                verdicts[row.intent_id] = verdict

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep)
        nursery.start_soon(charge_all)
    for of in intents:
        verdict = verdicts[of.intent_id]
        charged = isinstance(verdict, Won)
        assert charged or verdict == Lost("intent_canceled")
        assert await ledger.status(of) == ("processing" if charged else "canceled")
        assert await ledger.count("transactions", of) == (1 if charged else 0)
    assert {type(v) for v in verdicts.values()} == {Won, Lost}, "the race was no race"


async def test_the_sweep_takes_bounded_time(ledger: LedgerHarness, switch: Connection) -> None:
    """A full batch of 500 stays far below the statement time-out."""
    for _ in range(2):
        await ledger.created(250, expires_at_us=DUE_US)
    started = time.monotonic()
    assert await sweep_expired(switch, now_us=LATER_US, limit=500) == Swept(500, 500, 0)
    assert time.monotonic() - started < 2
