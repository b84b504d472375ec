"""Answers: one for each payment, one credit back, joined duplicates told the same."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hsm_sim.wire import OpenedCard
from ledger.records import TransactionRow
from switch.core.admission import Admission
from switch.core.findings import not_sent
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.replying import Replies, state_of_payment, state_of_row
from switch.wire import Done, Refused, TransactionState
from tests.support.pipeline import Admit, Peer, charge, recorded, transaction_row

CARD = OpenedCard("4242424242424242", "3012", "123", "", b"sealed", b"f" * 16)
ROW = transaction_row(number=1)


def test_rows_begin_with_the_fields_of_states_in_the_same_order() -> None:
    """`state_of_row` copies by position, so the two records must not drift apart."""
    row_fields = [name.removesuffix("_us") for name in TransactionRow.__struct_fields__]
    state_fields = list(TransactionState.__struct_fields__)
    assert row_fields[: len(state_fields)] == state_fields


def test_a_row_becomes_a_state_field_by_field() -> None:
    """No field changes its place on the way to the api."""
    state = state_of_row(ROW)
    assert (state.transaction_id, state.status, state.amount_minor) == (
        ROW.transaction_id,
        ROW.status,
        2499,
    )
    assert (state.created_at, state.updated_at) == (ROW.created_at_us, ROW.updated_at_us)


def test_a_second_answer_to_a_payment_harms_no_later_one_of_its_key(
    replies: Replies, admission: Admission, admit: Admit, peer: Peer
) -> None:
    """A key may be used again after a refusal: only the payment inside now is answered."""
    first = admit(1)
    replies.refuse(first, "hsm_unavailable")
    second = Payment(charge=first.charge, waiter=(peer, 99), accepted_at=0.0)
    admission.enter(second.charge.merchant_id)
    replies.in_flight[second.charge.key_digest] = second
    replies.refuse(first, "hsm_unavailable")
    assert (admission.inside, len(peer.replies)) == (1, 1)
    replies.done(second, state_of_row(ROW))
    assert peer.replies[99] == Done(state_of_row(ROW))
    assert admission.inside == 0


def test_the_lowest_attempt_inside(replies: Replies, admission: Admission, admit: Admit) -> None:
    """Recovery must read from there: what is inside may be committed at any time."""
    assert replies.lowest_attempt() is None
    for number in (3, 1, 2):
        admit(number)
    assert replies.lowest_attempt() is None  # none is about to be recorded
    payments = list(replies.in_flight.values())
    for payment in payments[:2]:
        admission.enter_network(recorded(payment).network)
    assert replies.lowest_attempt() == b"A" * 15 + bytes([1])
    for payment in payments:
        replies.done(payment, state_of_row(ROW))
    assert replies.lowest_attempt() is None


def test_an_answer_is_counted_once(replies: Replies, counts: PipelineCounts, admit: Admit) -> None:
    """What is refused twice was refused once."""
    payment = admit(1)
    replies.refuse(payment, "hsm_unavailable")
    replies.refuse(payment, "hsm_unavailable")
    assert counts.refused_total == 1


@pytest.mark.parametrize("refused", [True, False])
def test_duplicates_that_joined_hear_what_the_first_hears(
    refused: bool,  # noqa: FBT001
    replies: Replies,
    admission: Admission,
    admit: Admit,
    peer: Peer,
) -> None:
    """A refusal is told to all alike; a transaction is marked as replayed to those who joined."""
    payment = admit(1)
    other = Peer()
    payment.joined = [(other, 5), (other, 6)]
    state = state_of_row(ROW)
    if refused:
        replies.refuse(payment, "network_unavailable", 1)
        expected = [Refused("network_unavailable", 1)] * 3
    else:
        replies.done(payment, state)
        expected = [Done(state), Done(state, replayed=True), Done(state, replayed=True)]
    assert [peer.replies[1], other.replies[5], other.replies[6]] == expected
    assert admission.inside == 0
    assert payment.joined is None


def test_an_answer_gives_the_network_s_share_back(
    replies: Replies, admission: Admission, admit: Admit
) -> None:
    """Of eight credits a network may hold four; each answer frees one."""
    payments = [admit(number) for number in range(5)]
    for payment in payments[:4]:
        assert admission.enter_network("vsim")
        payment.network = "vsim"
    assert not admission.enter_network("vsim")
    replies.refuse(payments[4], "overloaded")
    assert not admission.enter_network("vsim")
    replies.refuse(payments[0], "operation_in_progress")
    assert admission.enter_network("vsim")


def test_an_answered_payment_holds_no_card(replies: Replies, admit: Admit) -> None:
    """A refusal is a result too: the card goes with it."""
    payment = admit(1)
    payment.card = CARD
    replies.refuse(payment, "overloaded")
    assert payment.card is None


def test_cards_of_payments_past_their_deadline_are_forgotten(
    replies: Replies, admit: Admit
) -> None:
    """Whatever a payment waits for, its CVC is kept no longer than its message could live."""
    payments = [admit(number) for number in range(3)]
    for accepted_at, payment in enumerate(payments):
        payment.accepted_at = float(accepted_at)
        payment.card = CARD
    replies.forget_cards(accepted_before=2.0)
    assert [payment.card for payment in payments] == [None, None, CARD]


def test_a_state_from_memory_tells_the_outcome(admit: Admit) -> None:
    """Amount and currency are the ledger's, codes the decision's, the card the record's."""
    payment = recorded(admit(7))
    payment.finding = not_sent("too_old")
    state = state_of_payment(payment, "failed", 1_800_000_000_000_000)
    record = payment.record
    assert record is not None
    assert state == replace(
        state_of_row(transaction_row(number=7)),
        transaction_id=record.transaction_id,
        status="failed",
        response_code="",
        approval_code="",
        decline_code="network_unavailable",
        advice="retry_later",
        updated_at=1_800_000_000_000_000,
    )


def test_nothing_is_told_of_a_payment_without_record_or_outcome(
    admit: Admit,
) -> None:
    """A payment is answered from memory only after both commits."""
    with pytest.raises(RuntimeError):
        state_of_payment(admit(1), "succeeded", 0)
    with pytest.raises(RuntimeError):
        state_of_payment(recorded(admit(2)), "succeeded", 0)


def test_a_key_of_another_request_hears_so_from_memory(replies: Replies, admit: Admit) -> None:
    """A remembered answer belongs to its request alone."""
    payment = admit(1)
    replies.done(payment, state_of_row(ROW))
    wanted = charge(1)
    assert replies.recall(wanted.key_digest, wanted.request_hash) == Done(
        state_of_row(ROW), replayed=True
    )
    assert replies.recall(wanted.key_digest, b"x" * 16) == Refused("idempotency_key_reused")
    assert replies.recall(b"x" * 16, wanted.request_hash) is None
