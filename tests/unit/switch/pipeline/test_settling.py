"""Commit 2: what is recorded, what goes with it, and what the merchant hears."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from ledger.leases import LeaseLostError
from ledger.records import Lost, Replay
from switch.core.admission import Admission
from switch.core.decline_memory import DeclineMemory
from switch.core.settlements import HELD, VERIFIED
from switch.link.events import Answered, NotSent, Unknown
from switch.pipeline.payment import PipelineCounts
from switch.pipeline.replying import state_of_row
from switch.wire import Done, Refused
from tests.support.hearing import Scene, answer
from tests.support.operations import RULES, SECOND_US
from tests.support.pipeline import NOW_US, PAN, transaction_row

AT_US = NOW_US + 700


async def test_an_approval_is_recorded_then_told(
    scene: Scene, counts: PipelineCounts, admission: Admission
) -> None:
    """One row in one commit; the reply says what the row says; the credit is back."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment), 0))
    (row,) = scene.committer.rows
    record = payment.record
    assert record is not None
    assert (row.attempt_id, row.transaction_id) == (record.attempt_id, record.transaction_id)
    assert (row.phase, row.result, row.from_status) == (1, "approved", "pending")
    assert (row.to_status, row.intent_to) == ("succeeded", "succeeded")
    assert (row.response_code, row.approval_code) == ("00", "A1B2C3")
    assert (row.actor, row.at_us) == ("network:vsim", AT_US)
    reply = scene.peer.replies[1]
    assert isinstance(reply, Done)
    assert (reply.transaction.status, reply.transaction.approval_code) == ("succeeded", "A1B2C3")
    assert (reply.transaction.updated_at, reply.replayed) == (AT_US, False)
    assert (admission.inside, counts.approved_total) == (0, 1)


async def test_a_plain_approval_brings_nothing_with_it(scene: Scene) -> None:
    """No doubt, no time to capture, no decline, no completion: two statements are enough."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment), 0))
    (row,) = scene.committer.rows
    assert (row.verify_at_us, row.verify_until_us, row.capture_before_us) == (0, 0, 0)
    assert (row.decline_class, row.completion, row.settles_on, row.approved_minor) == (
        "",
        None,
        "",
        0,
    )


async def test_the_network_s_date_is_recorded(scene: Scene) -> None:
    """DE 15 with its year, for the totals."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, de_15="0116"), 0))
    assert scene.committer.rows[0].settles_on == "2027-01-16"


async def test_nothing_is_told_before_the_commit_returns(scene: Scene) -> None:
    """With commit 2 failing, no answer leaves and the failure goes up."""
    payment = scene.sent(1)
    scene.committer.error = LeaseLostError("a newer epoch")
    with pytest.raises(LeaseLostError):
        await scene.settle(Answered(payment, answer(payment), 0))
    assert scene.peer.replies == {}


async def test_a_decline_tells_its_reason_and_is_remembered(
    scene: Scene, counts: PipelineCounts
) -> None:
    """The merchant hears code and advice of the table; the card is known from now on."""
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, "41"), 0))
    told = scene.peer.replies[1].transaction
    assert (told.status, told.decline_code, told.advice) == ("failed", "lost_card", "do_not_retry")
    (row,) = scene.committer.rows
    assert (row.decline_class, counts.declined_total) == ("hard", 1)
    assert refused(scene.declines) == "card_declined_before"


async def test_a_decline_that_was_not_recorded_is_not_remembered(scene: Scene) -> None:
    """Somebody else has decided meanwhile."""
    scene.committer.moved_on = {1}
    scene.replays.known[(1).to_bytes(16)] = Replay(transaction_row(1))
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment, "41"), 0))
    assert refused(scene.declines) == ""


def refused(memory: DeclineMemory) -> str:
    """What the card of every test payment would be told."""
    return memory.refusal(b"m" * 16, b"f" * 16, "visa", PAN, AT_US + 1)


@pytest.mark.parametrize("reason", ["timeout", "link_lost"])
async def test_silence_is_pending_and_is_looked_into(
    reason: str, scene: Scene, counts: PipelineCounts, admission: Admission
) -> None:
    """The outcome is unknown, by the switch's own word, and its window opens with the commit."""
    await scene.settle(Unknown(scene.sent(1), reason))
    (row,) = scene.committer.rows
    assert (row.result, row.to_status, row.intent_to) == (
        "unknown",
        "pending_verification",
        "pending_verification",
    )
    assert (row.verify_at_us, row.verify_until_us) == (AT_US + SECOND_US, AT_US + 30 * SECOND_US)
    assert row.actor == "switch"
    assert scene.statuses == {1: "pending_verification"}
    assert (counts.unknown_total, admission.inside) == (1, 0)


async def test_what_is_to_be_captured_later_is_authorized_for_a_time(scene: Scene) -> None:
    """By the network's rules."""
    payment = scene.sent(1, network="msim", settlements=HELD)
    await scene.settle(Answered(payment, answer(payment), 0), network="msim")
    (row,) = scene.committer.rows
    assert (row.to_status, row.intent_to) == ("succeeded", "authorized")
    assert row.capture_before_us == AT_US + RULES.authorization_us
    assert row.completion is None
    assert scene.statuses == {1: "succeeded"}


@pytest.mark.parametrize(
    ("code", "result", "status"),
    [
        ("00", "approved", "succeeded"),
        ("85", "approved", "succeeded"),
        ("05", "declined", "failed"),
    ],
)
async def test_a_verification_leaves_its_intent_created(
    code: str, result: str, status: str, scene: Scene
) -> None:
    """85 is an approval where no amount was asked for."""
    payment = scene.sent(1, settlements=VERIFIED)
    await scene.settle(Answered(payment, answer(payment, code), 0))
    (row,) = scene.committer.rows
    assert (row.result, row.to_status, row.intent_to) == (result, status, "created")


async def test_a_verification_in_doubt_has_failed(scene: Scene) -> None:
    """It moved no money: nothing is looked into, and it may be asked again."""
    payment = scene.sent(1, settlements=VERIFIED)
    await scene.settle(Unknown(payment, "timeout"))
    (row,) = scene.committer.rows
    assert (row.result, row.to_status, row.intent_to) == ("unknown", "failed", "created")
    assert (row.verify_at_us, row.decline_code, row.advice) == (0, "not_confirmed", "retry_later")
    assert scene.statuses == {1: "failed"}


async def test_a_partial_approval_that_is_taken_is_what_the_charge_is_then(scene: Scene) -> None:
    """AU13: recorded and told with the approved amount."""
    payment = scene.sent(1)
    payment.allow_partial = True
    await scene.settle(Answered(payment, answer(payment, "10", de_4="000000000600"), 0))
    (row,) = scene.committer.rows
    assert (row.result, row.to_status, row.approved_minor) == ("partial", "succeeded", 600)
    assert scene.peer.replies[1].transaction.amount_minor == 600


async def test_a_payment_that_somebody_else_has_decided_is_answered_from_the_ledger(
    scene: Scene, counts: PipelineCounts, admission: Admission
) -> None:
    """What stands is what the merchant hears, with one look-up for all of them."""
    payments = [scene.sent(number) for number in range(3)]
    scene.committer.moved_on = {0, 2}
    for number in (0, 2):
        row = transaction_row(number, "pending_verification")
        scene.replays.known[number.to_bytes(16)] = Replay(row)
    await scene.settle(*[Answered(payment, answer(payment), 0) for payment in payments])
    assert scene.statuses == {
        0: "pending_verification",
        1: "succeeded",
        2: "pending_verification",
    }
    assert scene.peer.replies[0] == Done(state_of_row(transaction_row(0, "pending_verification")))
    assert (scene.replays.asked, counts.not_advanced_total) == (1, 2)
    assert (admission.inside, counts.approved_total) == (0, 1)


async def test_a_recorded_payment_waits_for_a_ledger_that_is_away(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """It may have been charged, so it is never told that nothing was recorded."""
    scene.committer.moved_on = {1}
    scene.replays.known[(1).to_bytes(16)] = Replay(transaction_row(1, "failed"))
    scene.replays.errors = [
        ConnectionLostError("gone"),
        RetryableError("starting up", sqlstate="57P03"),
        PoolOverloadError("full"),
    ]
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment), 0))
    assert scene.statuses == {1: "failed"}
    assert scene.replays.asked == 4


@pytest.mark.parametrize("known", [None, Lost("idempotency_key_reused")])
async def test_a_recorded_payment_that_the_ledger_does_not_know_is_an_error_of_ours(
    known: Lost | None, scene: Scene, counts: PipelineCounts
) -> None:
    """It cannot be, and is told as an internal error rather than as somebody else's key."""
    scene.committer.moved_on = {1}
    if known is not None:
        scene.replays.known[(1).to_bytes(16)] = known
    payment = scene.sent(1)
    await scene.settle(Answered(payment, answer(payment), 0))
    assert scene.peer.replies == {1: Refused("internal_error")}
    assert counts.errors_total == 1


async def test_a_held_intent_delays_only_itself(scene: Scene) -> None:
    """Its outcome waits in a queue of its own; the others are recorded and answered."""
    payments = [scene.sent(number) for number in (1, 2, 3)]
    scene.committer.held = {2}
    await scene.settle(*[Answered(payment, answer(payment), 0) for payment in payments])
    assert set(scene.statuses) == {1, 3}
    assert len(scene.stage.held) == scene.stage.held.peak == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.stage.settle_held)
        await trio.testing.wait_all_tasks_blocked()
        assert set(scene.statuses) == {1, 3}
        scene.committer.held = set()
        scene.stage.held.close()
    assert scene.statuses[2] == "succeeded"
    assert len(scene.stage.held) == 0


async def test_outcomes_of_a_held_intent_keep_their_order(scene: Scene) -> None:
    """A later one queues up behind it, even when the intent was freed."""
    payment, other, again = scene.sent(1), scene.sent(2), scene.sent(3)
    again.charge, again.record = payment.charge, payment.record
    scene.committer.held = {1}
    await scene.settle(Unknown(payment, "timeout"))
    scene.committer.held = set()
    await scene.settle(Answered(again, answer(again), 0), Answered(other, answer(other), 0))
    assert scene.results() == [(2, "approved")]
    scene.stage.held.close()
    await scene.stage.settle_held()
    assert scene.results()[1:] == [(1, "unknown"), (1, "approved")]


async def test_held_intents_do_not_wait_for_each_other(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    """Whichever lock is free first lets its outcome go first; a row is the same on every try."""
    payments = [scene.sent(number) for number in (1, 2)]
    scene.committer.held = {1, 2}
    await scene.settle(*[Answered(payment, answer(payment), 0) for payment in payments])
    scene.stage.held.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.stage.settle_held)
        await trio.sleep(1)
        scene.committer.held = {1}
        await trio.sleep(1)
        assert list(scene.statuses) == [2]
        scene.committer.held = set()
    assert list(scene.statuses) == [2, 1]


async def test_outcomes_of_one_intent_never_share_a_commit(scene: Scene) -> None:
    """The second waits for the next commit, behind the first of the others."""
    first, second, third = scene.sent(1), scene.sent(2), scene.sent(3)
    third.charge = first.charge
    third.record = first.record
    await scene.settle(
        Unknown(first, "timeout"), Unknown(third, "timeout"), Unknown(second, "timeout")
    )
    assert [len(batch) for batch in scene.committer.batches] == [2, 1]


async def test_each_result_has_its_counter(scene: Scene, counts: PipelineCounts) -> None:
    """Approved, declined, not sent, unknown: one each."""
    payments = [scene.sent(number) for number in range(4)]
    events: list[Any] = [
        Answered(payments[0], answer(payments[0]), 0),
        Answered(payments[1], answer(payments[1], "05"), 0),
        NotSent(payments[2], "too_old"),
        Unknown(payments[3], "timeout"),
    ]
    payments[2].retried = True
    await scene.settle(*events)
    found = (
        counts.approved_total,
        counts.declined_total,
        counts.not_sent_total,
        counts.unknown_total,
    )
    assert found == (1, 1, 1, 1)
    assert (counts.commit2_batches_total, counts.commit2_rows_total) == (1, 4)
