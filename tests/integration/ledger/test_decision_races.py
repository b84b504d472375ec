"""Every guard of a decision raced by two sessions: exactly one wins, and the other knows why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
import trio

from ledger.deciding.committer import BLOCKED, DecisionCommitter
from ledger.deciding.records import IntentView
from ledger.deciding.views import read_views
from ledger.records import Lost, OutcomeToRecord, Settled
from tests.support.deciding import (
    Decide,
    acknowledge_reversal,
    adopt,
    attempt_of,
    cancel,
    cancel_created,
    capture,
    key_of,
    refund,
    reverse,
)
from tests.support.ledger import LIMITS, NOW_US, charge, kinds, outcome

if TYPE_CHECKING:
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness

Run = Callable[[], Awaitable[Any]]


async def _authorized(ledger: LedgerHarness) -> ChargeToRecord:
    [of] = await ledger.created(capture_method="manual")
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    told = outcome(row, intent_to="authorized", capture_before_us=NOW_US + 10**12)
    await ledger.outcomes.settle([told])
    return row


async def _view(ledger: LedgerHarness, row: ChargeToRecord) -> IntentView:
    return (await read_views(ledger.superuser, [row.intent_id]))[row.intent_id]


def _patient(ledger: LedgerHarness) -> DecisionCommitter:
    return ledger.decision_committer(connect=ledger.connect_patiently)


async def _race(ledger: LedgerHarness, row: ChargeToRecord, runs: Sequence[Run]) -> list[Any]:
    """Start each run when the one before it waits for the intent's lock, then free the lock."""
    answers: list[Any] = [None] * len(runs)

    async def run(place: int) -> None:
        answers[place] = await runs[place]()

    session = await ledger.session("superuser")
    await session.script(
        f"BEGIN; SELECT 1 FROM payment_intents WHERE id = '{row.intent_id.hex()}' FOR UPDATE"
    )
    async with trio.open_nursery() as nursery:
        for place in range(len(runs)):
            nursery.start_soon(run, place)
            await ledger.waiting_backends(place + 1)
        await session.script("ROLLBACK")
    return answers


def _step(ledger: LedgerHarness, step: Decide) -> Run:
    async def run() -> Any:
        committer = _patient(ledger)
        [answer] = await committer.run([step])
        await committer.aclose()
        return answer

    return run


def _settle(ledger: LedgerHarness, row: OutcomeToRecord) -> Run:
    async def run() -> Settled:
        committer = ledger.outcome_committer(connect=ledger.connect_patiently)
        [settled] = await committer.settle([row])
        await committer.aclose()
        return settled

    return run


@pytest.mark.parametrize("first", ["adopt", "reverse"])
async def test_of_adoption_and_reversal_exactly_one_wins(ledger: LedgerHarness, first: str) -> None:
    """Commit 2 adopts a late approval, or the reversal is recorded: never both."""
    [row] = await ledger.charged(result="unknown")
    _, closing = reverse(row)
    runs = {
        "adopt": _settle(ledger, outcome(row, phase=2)),
        "reverse": _step(ledger, Decide(row.intent_id, closing)),
    }
    order = [first, *(runs.keys() - {first})]
    answers = dict(
        zip(order, await _race(ledger, row, [runs[name] for name in order]), strict=True)
    )
    view = await _view(ledger, row)
    if first == "adopt":
        assert answers["adopt"] == Settled(True, 4, "succeeded")
        assert answers["reverse"] == Lost("already_decided")
        assert (view.status, len(view.attempts), view.saf) == ("succeeded", 1, [])
    else:
        assert answers["reverse"] == "reversing"
        assert answers["adopt"] == Settled(False, 4, "pending_verification")
        assert (view.reversing, len(view.saf)) == (True, 1)
        assert attempt_of(view, row.attempt_id).resolution == ""


@pytest.mark.parametrize("first", [0, 1])
async def test_of_two_decisions_on_a_doubt_exactly_one_wins(
    ledger: LedgerHarness, first: int
) -> None:
    """The same by an inquiry's answer, which is a decision too."""
    [row] = await ledger.charged(result="unknown")
    steps = [Decide(row.intent_id, adopt(row)), Decide(row.intent_id, reverse(row)[1])]
    won, lost = ["adopted", "reversing"], [Lost("too_late"), Lost("already_decided")]
    order = [first, 1 - first]
    answers = await _race(ledger, row, [_step(ledger, steps[place]) for place in order])
    assert answers == [won[order[0]], lost[order[1]]]


@pytest.mark.parametrize("first", [0, 1])
async def test_of_capture_and_cancel_exactly_one_wins(ledger: LedgerHarness, first: int) -> None:
    """No capture once a cancel is recorded, and no cancel of what is being captured."""
    row = await _authorized(ledger)
    makers = [capture(1000), cancel()]
    order = [first, 1 - first]
    runs = [_step(ledger, Decide(row.intent_id, makers[place][1])) for place in order]
    answers = await _race(ledger, row, runs)
    assert answers == [["captured", "canceling"][first], Lost("operation_in_progress")]
    view = await _view(ledger, row)
    assert (view.status, view.live_transaction_id) == (
        "processing",
        makers[first][0].transaction_id,
    )
    assert len(view.transactions) == 2


async def test_two_captures_do_not_meet(ledger: LedgerHarness) -> None:
    """The second finds the first under way."""
    row = await _authorized(ledger)
    runs = [_step(ledger, Decide(row.intent_id, capture(1500)[1])) for _ in range(2)]
    assert await _race(ledger, row, runs) == ["captured", Lost("operation_in_progress")]


async def test_refunds_that_exceed_together_do_not_both_win(ledger: LedgerHarness) -> None:
    """Three refunds of half the amount at once: two are reserved, the third is too much."""
    [row] = await ledger.charged()
    runs = [_step(ledger, Decide(row.intent_id, refund(1249)[1])) for _ in range(3)]
    assert await _race(ledger, row, runs) == [
        "refunding",
        "refunding",
        Lost("amount_exceeds_refundable"),
    ]
    assert (await _view(ledger, row)).refund_pending_minor == 2498


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_of_charge_and_cancel_exactly_one_wins(
    ledger: LedgerHarness,
    cancel_first: bool,  # noqa: FBT001
) -> None:
    """A canceled intent is not charged, and a charge under way is not canceled."""
    [of] = await ledger.created()
    row = charge(of)

    async def record() -> Any:
        committer = ledger.charge_committer(connect=ledger.connect_patiently)
        verdicts = await committer.record([row], lane="slow")
        await committer.aclose()
        return kinds(verdicts)[0]

    canceling = _step(ledger, Decide(row.intent_id, cancel_created()))
    runs = [canceling, record] if cancel_first else [record, canceling]
    answers = await _race(ledger, row, runs)
    assert answers == (
        ["canceled", "intent_canceled"] if cancel_first else ["Won", Lost("operation_in_progress")]
    )
    assert await ledger.count("transactions", row) == 1


async def test_a_key_is_taken_once_on_two_intents(ledger: LedgerHarness) -> None:
    """Neither step sees the key when it looks; one writes it, the other is decided anew."""
    rows = await ledger.charged(2)
    key = key_of(rows[0].merchant_id)
    name = (key.merchant_id, key.key_digest)
    steps = [Decide(row.intent_id, refund(100, key=key)[1], key=name) for row in rows]
    blocker = await ledger.session("superuser")
    await blocker.script("BEGIN; LOCK TABLE idempotency IN SHARE MODE")
    answers: list[Any] = []

    async def run(step: Decide) -> None:
        answers.append(await _step(ledger, step)())

    async with trio.open_nursery() as nursery:
        for place, step in enumerate(steps):
            nursery.start_soon(run, step)
            await ledger.waiting_backends(place + 1)
        await blocker.script("ROLLBACK")
    assert sorted(answers, key=str) == [Lost("idempotency_key_reused"), "refunding"]
    assert sorted(len(step.views) for step in steps) == [1, 2]
    pending = [(await _view(ledger, row)).refund_pending_minor for row in rows]
    assert sorted(pending) == [0, 100]


async def test_an_acknowledgment_meets_a_second_one(ledger: LedgerHarness) -> None:
    """Two final 0430s of one reversal are one outcome."""
    [row] = await ledger.charged(result="unknown")
    message, closing = reverse(row)
    await ledger.decisions.run([Decide(row.intent_id, closing)])
    ending = acknowledge_reversal(message, row)
    runs = [_step(ledger, Decide(row.intent_id, ending)) for _ in range(2)]
    assert await _race(ledger, row, runs) == ["reversed", "reversed"]
    view = await _view(ledger, row)
    assert (view.version, view.transactions[0].status) == (5, "reversed")


async def test_a_held_intent_delays_only_its_own_step(ledger: LedgerHarness) -> None:
    """The fast lane answers at once and names what it left; the slow lane decides it later."""
    rows = await ledger.charged(6)
    steps = [Decide(row.intent_id, refund(100)[1]) for row in rows]
    session = await ledger.session("superuser")
    held = [rows[1].intent_id.hex(), rows[4].intent_id.hex()]
    await session.script(
        f"BEGIN; SELECT 1 FROM payment_intents WHERE id IN ('{held[0]}', '{held[1]}') FOR UPDATE"
    )
    with trio.fail_after(1):
        answers = await ledger.decisions.run(steps, lane="fast")
    assert [answer is BLOCKED for answer in answers] == [n in {1, 4} for n in range(6)]
    assert repr(answers[1]) == "BLOCKED"
    later: list[Any] = []

    async def decide_later() -> None:
        later.extend(await ledger.decisions.run([steps[1], steps[4]], lane="slow"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(decide_later)
        await ledger.waiting_backends()
        assert await ledger.decisions.run([Decide(rows[0].intent_id, refund(1)[1])], lane="fast")
        await session.script("ROLLBACK")
    assert later == ["refunding"] * 2
    assert [len(step.views) for step in steps] == [1] * 6


async def test_what_must_happen_waits_and_what_was_asked_for_gives_up(
    ledger: LedgerHarness,
) -> None:
    """Behind a lock that stays, a merchant's request is refused; a reversal waits on."""
    rows = [*await ledger.charged(1), *await ledger.charged(1, result="unknown")]
    key = key_of(rows[0].merchant_id)
    asked = Decide(rows[0].intent_id, refund(1, key=key)[1], key=(key.merchant_id, key.key_digest))
    needed = Decide(rows[1].intent_id, reverse(rows[1])[1])
    refused, reversed_ = [], []

    async def run(step: Decide, answers: list[Any]) -> None:
        committer = ledger.decision_committer()
        answers += await committer.run([step])
        await committer.aclose()

    session = await ledger.session("superuser")
    ids = ", ".join(f"'{row.intent_id.hex()}'" for row in rows)
    await session.script(f"BEGIN; SELECT 1 FROM payment_intents WHERE id IN ({ids}) FOR UPDATE")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, asked, refused)
        nursery.start_soon(run, needed, reversed_)
        with trio.fail_after(10):
            while not refused:
                await trio.sleep(0.01)
        await trio.sleep(3 * LIMITS.lock_timeout_ms / 1_000)
        assert not reversed_
        await session.script("ROLLBACK")
    assert (refused, reversed_) == ([Lost("operation_in_progress")], ["reversing"])
    assert asked.views == []


async def test_a_lock_on_an_advice_is_waited_for(ledger: LedgerHarness) -> None:
    """A sender that counts a send, or an operator, holds the row for a moment: decided after it."""
    [row, other] = await ledger.charged(2, result="unknown")
    message, closing = reverse(row)
    await ledger.decisions.run([Decide(row.intent_id, closing)])
    session = await ledger.session("superuser")
    await session.script(
        "BEGIN; UPDATE store_and_forward SET repeats = 7"
        f" WHERE attempt_id = '{message.attempt_id.hex()}'"
    )
    ending = Decide(row.intent_id, acknowledge_reversal(message, row))
    answers: list[Any] = []

    async def run() -> None:
        answers.extend(await _patient(ledger).run([ending]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await ledger.waiting_backends()
        await session.script("COMMIT")
    assert answers == ["reversed"]
    [view] = ending.views
    assert view is not None
    assert view.saf[0].repeats == 7
    beside = [Decide(other.intent_id, adopt(other))]
    assert await ledger.decisions.run(beside, lane="fast") == ["adopted"]


async def test_a_batch_that_waits_for_no_intent_is_left_whole(ledger: LedgerHarness) -> None:
    """A takeover at work on the lease: the fast lane gives all of them back, soon."""
    rows = await ledger.charged(3)
    session = await ledger.session("superuser")
    await session.script(
        f"BEGIN; SELECT epoch FROM switch_leases WHERE switch = '{ledger.switch}' FOR UPDATE"
    )
    steps = [Decide(row.intent_id, refund(1)[1]) for row in rows]
    with trio.fail_after(3):
        answers = await ledger.decisions.run(steps, lane="fast")
    assert answers == [BLOCKED] * 3
    await session.script("ROLLBACK")
    assert await ledger.decisions.run(steps) == ["refunding"] * 3


@pytest.mark.parametrize("seed", range(3))
async def test_many_operations_at_once_never_exceed_the_amounts(
    ledger: LedgerHarness, seed: int
) -> None:
    """Refunds from four sessions at once: what is reserved fits what was captured."""
    [row] = await ledger.charged()
    amounts = [(seed * 37 + n * 311) % 900 + 1 for n in range(16)]
    won: list[int] = []

    async def work(share: list[int]) -> None:
        committer = _patient(ledger)
        for amount_minor in share:
            [answer] = await committer.run([Decide(row.intent_id, refund(amount_minor)[1])])
            if answer == "refunding":
                won.append(amount_minor)
            else:
                assert answer == Lost("amount_exceeds_refundable")
        await committer.aclose()

    async with trio.open_nursery() as nursery:
        for first in range(4):
            nursery.start_soon(work, amounts[first::4])
    view = await _view(ledger, row)
    assert view.refund_pending_minor == sum(won) <= 2499
    assert view.version == 3 + len(won)
    assert sorted(t.amount_minor for t in view.transactions[1:]) == sorted(won)
