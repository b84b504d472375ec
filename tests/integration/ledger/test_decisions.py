"""Locked decisions against Postgres: what a step sees, what a plan writes, what it may not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import trio
from msgspec.structs import astuple, replace

from ledger.deciding.records import (
    NewDecline,
    NewException,
    Plan,
    SealedCardRow,
    VerificationRow,
)
from ledger.deciding.views import read_views, sealed_cards
from ledger.errors import DatabaseError, RetryableError
from ledger.leases import LeaseLostError, begin_epoch
from ledger.records import Lost
from tests.support.deciding import (
    Decide,
    adopt,
    attempt,
    cancel_created,
    capture,
    key_of,
    new_transaction,
    outcome,
    refund,
    remark,
    reverse,
    run_plan,
    saf_row,
    view_of,
)
from tests.support.ledger import IDS, NOW_US, charge
from tests.support.ledger import outcome as first_outcome

if TYPE_CHECKING:
    from ledger.deciding.records import IntentView
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness

FAULT = Lost("internal_error")


async def _authorized(ledger: LedgerHarness, count: int = 1) -> list[ChargeToRecord]:
    rows = [charge(of) for of in await ledger.created(count, capture_method="manual")]
    await ledger.charges.record(rows, lane="fast")
    told = [
        first_outcome(row, intent_to="authorized", capture_before_us=NOW_US + 10**12)
        for row in rows
    ]
    await ledger.outcomes.settle(told)
    return rows


async def test_a_step_sees_everything_about_its_intent(ledger: LedgerHarness) -> None:
    """The row, its transactions, both results of each attempt, and its places in both queues."""
    [row] = await ledger.charged(result="unknown")
    message, closing = reverse(row)
    step = Decide(row.intent_id, closing)
    assert await ledger.decisions.run([step]) == ["reversing"]
    [before] = step.views
    view = await view_of(ledger, row)
    assert before is not None
    assert (before.status, before.version, before.reversing) == ("pending_verification", 3, False)
    assert (view.status, view.version, view.reversing) == ("pending_verification", 4, True)
    assert (view.merchant_id, view.live_transaction_id) == (row.merchant_id, row.transaction_id)
    assert (view.amount_minor, view.currency, view.charge_count) == (2499, "usd", 1)
    [doubtful], [reversing] = before.transactions, view.transactions
    assert (doubtful.status, reversing.status) == ("pending_verification", "reversing")
    assert (reversing.type, reversing.card_last4) == ("charge", "4242")
    assert (reversing.fingerprint, reversing.request_id) == (row.fingerprint, row.request_id)
    assert [(a.attempt_id, a.kind, a.result, a.resolution) for a in view.attempts] == [
        (row.attempt_id, "request", "unknown", ""),
        (message.attempt_id, "reversal", "", ""),
    ]
    assert [a.owner for a in view.attempts] == [ledger.switch] * 2
    [queued] = view.saf
    assert (queued.attempt_id, queued.kind, queued.due_at_us) == (
        message.attempt_id,
        "reversal",
        NOW_US,
    )
    assert (queued.owner, queued.epoch) == (ledger.switch, ledger.lease.epoch)


async def test_a_plan_writes_every_kind_of_row(ledger: LedgerHarness) -> None:
    """One transaction; each row is found again as it was planned, with what the ledger adds."""
    [of] = await ledger.created(merchant_reference=os.urandom(6).hex())
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([first_outcome(row)])
    key = key_of(row.merchant_id)
    new = new_transaction("refund", 700)
    key = replace(key, transaction_id=new.transaction_id)
    message = attempt(new.transaction_id, mti="0200", amount_minor=700)
    doubt = VerificationRow(message.attempt_id, new.transaction_id, "vsim", NOW_US, NOW_US + 30)
    strange = NewException("odd_answer", "vsim", None, new.transaction_id, message.attempt_id)
    plan = Plan(
        intent={"refund_pending_minor": 700},
        transactions=[new],
        attempts=[message],
        outcomes=[
            outcome(message.attempt_id, new.transaction_id, "unknown", settles_on="2026-11-23")
        ],
        saf_add=[saf_row(message, repeats=2, kind="request")],
        verify_add=[doubt],
        key=key,
        expire_at_us=NOW_US + 77,
        exceptions=[replace(strange, detail={"rrn": "0ABC", "count": 2})],
        declines=[NewDecline(message.attempt_id, row.fingerprint, "vsim", "soft", NOW_US)],
        value={"any": "thing"},
    )
    step = Decide(row.intent_id, lambda _: plan, key=(key.merchant_id, key.key_digest))
    assert await ledger.decisions.run([step]) == [{"any": "thing"}]
    view = await view_of(ledger, row)
    assert (view.refund_pending_minor, view.version) == (700, 4)
    refunded = view.transactions[-1]
    assert (refunded.status, refunded.amount_minor) == ("pending_verification", 700)
    assert (refunded.intent_version, refunded.request_id) == (4, new.request_id)
    assert astuple(view.attempts[-1])[:11] == astuple(message)[:11]
    assert view.attempts[-1].result == "unknown"
    assert view.saf == [
        replace(
            plan.saf_add[0],
            intent_id=row.intent_id,
            created_at_us=view.saf[0].created_at_us,
            owner=ledger.switch,
            epoch=ledger.lease.epoch,
        )
    ]
    assert view.verification == [
        replace(doubt, intent_id=row.intent_id, owner=ledger.switch, epoch=ledger.lease.epoch)
    ]
    stored = await ledger.rows(
        "SELECT e.kind, e.network, e.transaction_id, e.attempt_id, e.detail, d.merchant_id,"
        " d.fingerprint, d.network, d.class, d.at, k.request_hash, k.transaction_id,"
        " o.settles_on FROM exceptions e, declines d, idempotency k, outcomes o"
        " WHERE e.intent_id = $1::uuid AND d.attempt_id = $2::uuid AND k.intent_id = $1::uuid"
        " AND k.transaction_id = $3::uuid AND o.attempt_id = $2::uuid",
        row.intent_id,
        message.attempt_id,
        new.transaction_id,
    )
    told = ("odd_answer", "vsim", new.transaction_id, message.attempt_id)
    declined = (row.merchant_id, row.fingerprint, "vsim", "soft", NOW_US)
    assert [(*cells[:4], *cells[5:]) for cells in stored] == [
        (*told, *declined, key.request_hash, new.transaction_id, 9823)
    ]
    assert stored[0][4] == b'{"rrn": "0ABC", "count": 2}'
    timers = await ledger.rows(
        "SELECT due_at FROM intent_expiry WHERE intent_id = $1::uuid", row.intent_id
    )
    assert (NOW_US + 77,) in timers


async def test_queues_are_changed_and_emptied(ledger: LedgerHarness) -> None:
    """Due times, counters and the manual flag change; then the rows go."""
    [row] = await ledger.charged(result="unknown")
    message = attempt(row.transaction_id, "reversal")
    doubt = VerificationRow(row.attempt_id, row.transaction_id, "vsim", NOW_US, NOW_US + 30)
    reversing = {"reversing": True}
    await run_plan(
        ledger,
        row,
        Plan(intent=reversing, attempts=[message], saf_add=[saf_row(message)], verify_add=[doubt]),
    )
    changed = Plan(
        saf_update=[saf_row(message, repeats=3, due_at_us=NOW_US + 5, manual=True)],
        verify_update=[replace(doubt, inquiries=2, due_at_us=NOW_US + 5)],
    )
    await run_plan(ledger, row, changed)
    view = await view_of(ledger, row)
    assert view.version == 4, "queues change nothing that a reader of the intent sees"
    assert [(s.due_at_us, s.repeats, s.manual) for s in view.saf] == [(NOW_US + 5, 3, True)]
    assert [(v.due_at_us, v.inquiries) for v in view.verification] == [(NOW_US + 5, 2)]
    dropped = Plan(saf_drop=[message.attempt_id], verify_drop=[row.attempt_id])
    await run_plan(ledger, row, dropped)
    view = await view_of(ledger, row)
    assert (view.saf, view.verification) == ([], [])


async def test_remarks_leave_the_version(ledger: LedgerHarness) -> None:
    """An inquiry and its result change nothing that a merchant sees, and do not end the doubt."""
    [row] = await ledger.charged(result="unknown")
    asked = attempt(row.transaction_id, "inquiry")
    await run_plan(ledger, row, Plan(attempts=[asked]))
    told = remark(asked.attempt_id, row.transaction_id, "unknown", "pending_verification")
    await run_plan(ledger, row, Plan(outcomes=[told]))
    view = await view_of(ledger, row)
    assert (view.version, view.transactions[0].status) == (3, "pending_verification")
    assert view.attempts[-1].result == "unknown"
    assert await ledger.decisions.run([Decide(row.intent_id, adopt(row))]) == ["adopted"]


async def test_a_canceled_intent_frees_its_reference(ledger: LedgerHarness) -> None:
    """Without a message: one transaction, one outcome under its own id."""
    reference = os.urandom(6).hex()
    [of] = await ledger.created(merchant_reference=reference)
    assert await ledger.decisions.run([Decide(of.intent_id, cancel_created())]) == ["canceled"]
    [again] = await ledger.created(merchant_reference=reference)
    assert again.intent_id != of.intent_id
    [stored] = await ledger.rows(
        "SELECT s.type, s.status, o.attempt_id = o.transaction_id FROM transaction_states s"
        " JOIN outcomes o ON o.transaction_id = s.transaction_id WHERE s.intent_id = $1::uuid",
        of.intent_id,
    )
    assert stored == ("cancel", "succeeded", True)


async def test_answers_stand_in_the_order_of_the_steps(ledger: LedgerHarness) -> None:
    """Absent intents, refusals and plans in one batch, whatever the order of their ids."""
    rows = await ledger.charged(4)
    steps = [Decide(row.intent_id, refund(100 * n)[1]) for n, row in enumerate(rows, start=24)]
    absent = Decide(IDS.next(), refund(1)[1])
    answers = await ledger.decisions.run([*reversed(steps), absent])
    refused = Lost("amount_exceeds_refundable")
    assert answers == [refused, refused, refused, "refunding", Lost("not_found")]


async def test_a_batch_names_an_intent_and_a_key_once(ledger: LedgerHarness) -> None:
    """Two decisions about one intent would each be made without the other."""
    [row, other] = await ledger.charged(2)
    step = Decide(row.intent_id, refund(1)[1])
    with pytest.raises(ValueError, match="one step of an intent"):
        await ledger.decisions.run([step, step])
    key = (row.merchant_id, os.urandom(16))
    keyed = [Decide(of.intent_id, refund(1)[1], key=key) for of in (row, other)]
    with pytest.raises(ValueError, match="one step of an idempotency key"):
        await ledger.decisions.run(keyed)
    assert await ledger.decisions.run([]) == []


async def test_a_step_sees_what_its_key_was_used_for(ledger: LedgerHarness) -> None:
    """On this intent or on any other; a step without a key, or with a fresh one, sees none."""
    rows = await ledger.charged(2)
    key = key_of(rows[0].merchant_id)
    name = (key.merchant_id, key.key_digest)
    new, refunding = refund(100, key=key)
    first = Decide(rows[0].intent_id, refunding, key=name)
    again = Decide(rows[0].intent_id, refund(200)[1], key=name)
    elsewhere = Decide(rows[1].intent_id, refund(300)[1], key=name)
    plain = Decide(rows[1].intent_id, refund(300)[1])
    answers = [(await ledger.decisions.run([s]))[0] for s in (first, again, elsewhere, plain)]
    reused = Lost("idempotency_key_reused")
    assert answers == ["refunding", reused, reused, "refunding"]
    assert [view and view.key for view in (*first.views, *plain.views)] == [None, None]
    for step in (again, elsewhere):
        [view] = step.views
        assert view is not None
        assert view.key is not None
        assert (view.key.request_hash, view.key.transaction_id) == (
            key.request_hash,
            new.transaction_id,
        )
        assert view.key.transaction is not None
        assert (view.key.transaction.type, view.key.transaction.amount_minor) == ("refund", 100)


async def test_an_older_epoch_decides_nothing(ledger: LedgerHarness) -> None:
    """Once another process has taken over, the step is not even asked."""
    [row] = await ledger.charged()
    await begin_epoch(await ledger.connect(), ledger.switch, ttl_s=10)
    step = Decide(row.intent_id, refund(1)[1])
    with pytest.raises(LeaseLostError):
        await ledger.decisions.run([step])
    assert step.views == []
    assert (await view_of(ledger, row)).refund_pending_minor == 0


async def test_a_takeover_waits_for_a_decision(ledger: LedgerHarness) -> None:
    """The lease is held until the commit: no other epoch begins between look and write."""
    [row] = await ledger.charged()
    impatient = await ledger.session("turnout_switch", lock_timeout="50ms")
    blocker = await ledger.session("superuser")
    async with trio.open_nursery() as nursery:
        await blocker.script("BEGIN; LOCK TABLE transactions IN SHARE MODE")
        nursery.start_soon(_run_refund, ledger, row)
        await ledger.waiting_backends()  # at its first write, lease and intent in hand
        with pytest.raises(RetryableError):
            await begin_epoch(impatient, ledger.switch, ttl_s=10)
        await blocker.script("ROLLBACK")
    assert (await view_of(ledger, row)).refund_pending_minor == 1


async def _run_refund(ledger: LedgerHarness, row: ChargeToRecord) -> None:
    committer = ledger.decision_committer(connect=ledger.connect_patiently)
    assert await committer.run([Decide(row.intent_id, refund(1)[1])]) == ["refunding"]
    await committer.aclose()


def _fail(_: IntentView) -> Plan:
    raise RuntimeError("a fault of the decider")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: _fail, "an exception"),
        (lambda _: lambda _: None, "no plan at all"),
        (lambda _: lambda _: Plan(intent={"amount_minor": 1}), "a column that stays"),
        (lambda _: lambda _: Plan(intent={"status": "created"}), "no way leads there"),
        (lambda _: lambda _: Plan(intent={"captured_minor": 5000}), "more than its amount"),
        (lambda _: lambda _: Plan(intent={"captured_minor": "many"}), "no number"),
        (lambda _: lambda _: Plan(attempts=[attempt(IDS.next())]), "no such transaction"),
        (
            lambda row: lambda _: Plan(attempts=[attempt(row.transaction_id, stan="12")]),
            "a STAN too short",
        ),
        (
            lambda row: (
                lambda _: Plan(
                    outcomes=[
                        outcome(
                            row.attempt_id,
                            row.transaction_id,
                            "approved",
                            phase=2,
                            from_status="pending_verification",
                        )
                    ]
                )
            ),
            "nothing to resolve",
        ),
        (lambda _: lambda _: Plan(saf_drop=[IDS.next()]), "not in the queue"),
    ],
)
async def test_a_fault_of_one_step_is_its_own(ledger: LedgerHarness, make: Any, why: str) -> None:
    """Whatever one step does wrong, its neighbors are decided and it writes nothing."""
    rows = await ledger.charged(5)
    steps = [Decide(row.intent_id, refund(100)[1]) for row in rows]
    steps[2] = Decide(rows[2].intent_id, make(rows[2]))
    answers = await ledger.decisions.run(steps)
    assert answers == [FAULT if n == 2 else "refunding" for n in range(5)], why
    views = await read_views(ledger.superuser, [row.intent_id for row in rows])
    assert [views[row.intent_id].version for row in rows] == [4, 4, 3, 4, 4]
    lane = ledger.decisions.lanes["slow"]
    assert lane.faults + lane.poisoned == 1


async def test_deciding_nothing_writes_nothing(ledger: LedgerHarness) -> None:
    """An empty plan hands its value back and leaves the intent, and its lock, alone."""
    [row] = await ledger.charged()
    assert await run_plan(ledger, row, Plan(value=7)) == 7
    assert (await view_of(ledger, row)).version == 3
    await ledger.rows(
        "SELECT 1 FROM payment_intents WHERE id = $1::uuid FOR UPDATE NOWAIT", row.intent_id
    )


async def test_unlocked_views_show_the_same(ledger: LedgerHarness) -> None:
    """Whoever only looks sees what a decision sees; absent intents are left out."""
    rows = await _authorized(ledger, 2)
    new, capturing = capture(1000)
    step = Decide(rows[0].intent_id, capturing)
    await ledger.decisions.run([step])
    seen = Decide(rows[0].intent_id, capturing)
    assert await ledger.decisions.run([seen]) == ["captured"]
    looked = await read_views(ledger.superuser, [IDS.next(), *(row.intent_id for row in rows)])
    assert set(looked) == {row.intent_id for row in rows}
    assert looked[rows[0].intent_id] == seen.views[0]
    assert [t.transaction_id for t in looked[rows[0].intent_id].transactions] == [
        rows[0].transaction_id,
        new.transaction_id,
    ]
    assert await read_views(ledger.superuser, []) == {}


async def test_sealed_cards_are_read_from_their_charges(ledger: LedgerHarness) -> None:
    """With the ids they were sealed under; a capture has none."""
    [row, other] = await _authorized(ledger, 2)
    new, capturing = capture(1000)
    await ledger.decisions.run([Decide(row.intent_id, capturing)])
    asked = [
        (row.intent_id, row.transaction_id),
        (row.intent_id, new.transaction_id),
        (other.intent_id, other.transaction_id),
        (row.intent_id, other.transaction_id),
    ]
    session = await ledger.connect()
    assert await sealed_cards(session, asked) == {
        of.transaction_id: SealedCardRow(
            of.transaction_id, of.intent_id, of.merchant_id, of.sealed_card
        )
        for of in (row, other)
    }
    assert await sealed_cards(session, []) == {}
    with pytest.raises(DatabaseError, match="permission denied"):
        await sealed_cards(ledger.api, asked)


async def test_exceptions_are_opened_once_per_kind_and_attempt(ledger: LedgerHarness) -> None:
    """The same finding about the same attempt is one row, however often it is found."""
    [row] = await ledger.charged()
    found = NewException("second_answer", "vsim", None, row.transaction_id, row.attempt_id)
    for _ in range(2):
        await run_plan(ledger, row, Plan(exceptions=[found]))
    assert await ledger.count("exceptions", row) == 1
