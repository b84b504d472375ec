"""Intake: credits, duplicates in flight, answers from memory."""

from __future__ import annotations

import pytest

from chassis.stage import Inbox
from switch.core.admission import Admission
from switch.pipeline.intake import JOINED_MAX, Intake
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies
from switch.wire import Done, Operate, Refused, TransactionState
from tests.support.pipeline import Handovers, Peer, charge


def succeeded(number: int) -> TransactionState:
    """A finished transaction of intent `number`."""
    return TransactionState(
        transaction_id=number.to_bytes(16),
        intent_id=number.to_bytes(16),
        type="charge",
        status="succeeded",
        amount_minor=2499,
        currency="usd",
        response_code="00",
        approval_code="A1B2C3",
        decline_code="",
        advice="",
        card_brand="visa",
        card_last4="4242",
        card_exp_month=12,
        card_exp_year=2030,
        created_at=1,
        updated_at=2,
    )


@pytest.fixture
def lookups() -> Inbox[Payment]:
    """Where admitted payments go."""
    return Inbox(8, name="lookup")


@pytest.fixture
def handovers() -> Handovers:
    """Where orders go."""
    return Handovers()


@pytest.fixture
def intake(
    admission: Admission,
    replies: Replies,
    lookups: Inbox[Payment],
    counts: PipelineCounts,
    handovers: Handovers,
) -> Intake:
    """Intake over eight credits."""
    return Intake(
        admission=admission,
        replies=replies,
        lookup=lookups,
        counts=counts,
        order=handovers.order,
    )


async def test_over_the_credits_is_refused_before_any_work(
    intake: Intake, lookups: Inbox[Payment], peer: Peer
) -> None:
    """The ninth of nine payments is told to come back; eight go on."""
    intake.accept(peer, [(number, charge(number)) for number in range(9)])
    assert len(lookups) == 8
    assert peer.replies == {8: Refused("overloaded", 1)}


async def test_fifty_of_one_key_are_one_payment_with_one_answer(
    intake: Intake, lookups: Inbox[Payment], replies: Replies, peer: Peer
) -> None:
    """Duplicates in flight join the first; all hear the same transaction, the later as replays."""
    intake.accept(peer, [(number, charge(7)) for number in range(50)])
    (payment,) = await lookups.take(10)
    replies.done(payment, succeeded(7))
    assert peer.replies[0] == Done(succeeded(7))
    assert [peer.replies[number] for number in range(1, 50)] == [Done(succeeded(7), True)] * 49


async def test_the_same_key_with_another_request_is_a_conflict(
    intake: Intake, lookups: Inbox[Payment], replies: Replies, peer: Peer
) -> None:
    """While the first is in flight and after it was answered, another body is refused."""
    intake.accept(peer, [(0, charge(7)), (1, charge(7, request=1))])
    assert peer.replies[1] == Refused("idempotency_key_reused")
    (payment,) = await lookups.take(10)
    replies.done(payment, succeeded(7))
    intake.accept(peer, [(2, charge(7)), (3, charge(7, request=1))])
    assert peer.replies[2] == Done(succeeded(7), replayed=True)
    assert peer.replies[3] == Refused("idempotency_key_reused")


async def test_every_answer_gives_its_credit_back(
    intake: Intake, lookups: Inbox[Payment], replies: Replies, admission: Admission, peer: Peer
) -> None:
    """After as many answers as payments, nothing is inside; answering twice changes nothing."""
    intake.accept(peer, [(number, charge(number)) for number in range(8)])
    batch = await lookups.take(10)
    for payment in batch:
        replies.refuse(payment, "hsm_unavailable")
        replies.refuse(payment, "hsm_unavailable")
    assert admission.inside == 0
    assert len(peer.replies) == 8


async def test_memory_of_answers_is_bounded_and_holds_terminal_ones_only(
    intake: Intake, lookups: Inbox[Payment], replies: Replies, peer: Peer
) -> None:
    """The oldest answer is forgotten beyond the limit, and a pending one is never remembered."""
    intake.accept(peer, [(number, charge(number)) for number in range(6)])
    for payment in await lookups.take(10):
        number = int.from_bytes(payment.charge.intent_id)
        state = succeeded(number)
        if number == 5:
            state = TransactionState(
                *(
                    "pending_verification" if name == "status" else getattr(state, name)
                    for name in state.__struct_fields__
                )
            )
        replies.done(payment, state)
    known = [replies.recall(number.to_bytes(16), bytes(16)) is not None for number in range(6)]
    assert known == [False, True, True, True, True, False]


async def test_closed_intake_admits_nothing(
    intake: Intake, lookups: Inbox[Payment], peer: Peer
) -> None:
    """While draining, what comes is refused."""
    intake.close()
    intake.accept(peer, [(0, charge(0))])
    assert peer.replies == {0: Refused("overloaded", 1)}
    assert len(lookups) == 0


async def test_duplicates_that_join_are_bounded(
    intake: Intake, peer: Peer, counts: PipelineCounts
) -> None:
    """A client out of control is told to wait; those that joined are still answered."""
    count = JOINED_MAX + 3
    intake.accept(peer, [(number, charge(1)) for number in range(count)])
    assert peer.replies == {
        JOINED_MAX + 1: Refused("overloaded", 1),
        JOINED_MAX + 2: Refused("overloaded", 1),
    }
    assert counts.joined_total == JOINED_MAX


async def test_orders_go_another_way(
    intake: Intake, lookups: Inbox[Payment], peer: Peer, handovers: Handovers, admission: Admission
) -> None:
    """They bring no card; the charges of the same batch stay here."""
    of = charge(1)
    order = Operate(
        intent_id=of.intent_id,
        merchant_id=of.merchant_id,
        live=False,
        type="cancel",
        amount_minor=0,
        final_capture=True,
        key_digest=b"k" * 16,
        request_hash=bytes(16),
        request_id=bytes(16),
    )
    intake.accept(peer, [(1, charge(1)), (2, order)])  # type: ignore[arg-type]
    assert handovers.orders == [(peer, 2, order)]
    assert (len(lookups), admission.inside, peer.replies) == (1, 1, {})
