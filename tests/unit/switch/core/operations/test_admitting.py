"""Which orders may be, and what they take with them when they are recorded."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ledger.records import Lost
from switch.core.operations.records import EXPIRY_REQUEST_ID, Admitted
from switch.core.operations.steps import Admit
from tests.support.operations import (
    AMOUNT,
    APPROVED,
    NOW_US,
    SILENCE,
    Book,
    authorized,
    charged,
)


def in_doubt(**intent: object) -> Book:
    """An intent whose charge nobody has answered."""
    book = Book(**intent)
    book.settle(book.charge().attempt_id, SILENCE)
    return book


def processing() -> Book:
    """An intent that is being charged."""
    book = Book()
    book.charge()
    return book


def canceled() -> Book:
    """An intent that was canceled before anything was charged."""
    book = Book()
    book.admit("cancel")
    return book


def verifying() -> Book:
    """A created intent whose card is being verified."""
    book = Book()
    book.charge(type_="verification")
    return book


def failed() -> Book:
    """An intent whose charge did not leave."""
    book = Book()
    attempt = book.charge()
    book.settle(attempt.attempt_id, replace(SILENCE, result="not_sent"))
    return book


def capturing() -> Book:
    """An authorized intent whose capture is in doubt."""
    book = authorized()
    admitted = book.admit("capture")
    book.settle(admitted.letter.attempt_id, SILENCE)
    return book


REFUSALS = [
    ("capture", Book, "not_authorized"),
    ("capture", failed, "not_authorized"),
    ("capture", processing, "operation_in_progress"),
    ("capture", in_doubt, "operation_in_doubt"),
    ("capture", charged, "already_succeeded"),
    ("capture", canceled, "intent_canceled"),
    ("refund", Book, "amount_exceeds_refundable"),
    ("refund", failed, "amount_exceeds_refundable"),
    ("refund", authorized, "amount_exceeds_refundable"),
    ("refund", processing, "operation_in_progress"),
    ("refund", in_doubt, "operation_in_doubt"),
    ("refund", canceled, "intent_canceled"),
    ("cancel", verifying, "operation_in_progress"),
    ("cancel", processing, "operation_in_progress"),
    ("cancel", capturing, "operation_in_doubt"),
    ("cancel", charged, "use_refund"),
    ("cancel", canceled, "intent_canceled"),
]


@pytest.mark.parametrize(("type_", "make", "code"), REFUSALS)
def test_a_status_that_does_not_admit_an_operation_names_why(
    type_: str, make: type[Book], code: str
) -> None:
    """Nothing is written, and the code is the contract's."""
    book = make()
    before = book.view
    assert book.admit(type_) == Lost(code)
    assert book.view == before


@pytest.mark.parametrize("change", [{"merchant_id": b"x" * 16}, {"live": True}])
def test_anothers_intent_is_not_found(change: dict[str, object]) -> None:
    """Of another merchant, or of the other mode: it might as well not exist."""
    assert authorized().admit("capture", **change) == Lost("not_found")


def test_an_absent_intent_is_not_found() -> None:
    """A merchant may name any id."""
    book = Book()
    step = Admit(book.order("cancel"), book.context())
    assert step.decide(None) == Lost("not_found")


def test_a_capture_takes_the_mutex_and_its_place_in_the_queue() -> None:
    """The 0220 is recorded as sent once, due again when it should have been answered."""
    book = authorized()
    admitted = book.admit("capture", 400, final_capture=False)
    assert isinstance(admitted, Admitted)
    assert (book.view.status, book.view.live_transaction_id) == (
        "processing",
        admitted.transaction.transaction_id,
    )
    assert (admitted.transaction.amount_minor, admitted.transaction.final_capture) == (400, False)
    attempt = book.last("request")
    assert (attempt.mti, attempt.amount_minor) == ("0220", 400)
    [row] = book.saf()
    assert (row.attempt_id, row.repeats, row.due_at_us) == (
        attempt.attempt_id,
        1,
        attempt.deadline_at_us,
    )


def test_what_follows_carries_the_rrn_of_the_authorization() -> None:
    """One RRN for the whole life; DE 90 names the 0100 with all five parts."""
    book = authorized()
    authorization = book.last("request")
    letter = book.admit("capture").letter
    assert letter.rrn == authorization.rrn
    assert (letter.stan, letter.de7) != (authorization.stan, authorization.de7)
    assert letter.original.mti == "0100"
    assert letter.original.numbers.stan == authorization.stan
    assert letter.original.approval_code == "A1B2C3"


def test_all_that_remains_is_captured_where_no_amount_is_named() -> None:
    """0 is everything."""
    assert authorized().admit("capture").transaction.amount_minor == AMOUNT


def test_no_more_is_captured_than_was_authorized() -> None:
    """One minor unit more is refused (CP03)."""
    assert authorized().admit("capture", AMOUNT + 1) == Lost("amount_exceeds_capturable")


def test_an_authorization_lasts_until_its_time_is_over() -> None:
    """A second before it is captured, at the instant it is not."""
    book = authorized()
    assert book.view.capture_before_us is not None
    book.now_us = book.view.capture_before_us
    assert book.admit("capture") == Lost("capture_expired")
    book.now_us -= 1
    assert isinstance(book.admit("capture"), Admitted)


@pytest.mark.parametrize("step_us", [-1, 1])
def test_one_clock_alone_ends_no_authorization(step_us: int) -> None:
    """A wall clock that was set forward, or is ahead of a steady one that stood still, is wrong."""
    book = authorized()
    ends_us = book.view.capture_before_us
    assert ends_us is not None
    context = book.context(now_us=ends_us + step_us, steady_us=ends_us - step_us)
    assert not context.is_past(ends_us)
    assert book.context(now_us=ends_us, steady_us=ends_us).is_past(ends_us)


def test_numbers_of_another_network_admit_nothing() -> None:
    """The intent was charged again elsewhere since its network was looked up."""
    for book, type_ in ((authorized(), "capture"), (authorized(), "cancel"), (charged(), "refund")):
        step = Admit(book.order(type_), book.context(spare=book.spare("vsim")))
        assert book.decide(step) == Lost("operation_in_progress")


def test_a_created_intent_is_canceled_at_once() -> None:
    """No message, one update: the cancel has succeeded when it is recorded."""
    book = Book()
    admitted = book.admit("cancel")
    assert (admitted.transaction.status, admitted.letter) == ("succeeded", None)
    assert (book.view.status, book.view.canceled_by) == ("canceled", "merchant")
    assert (book.view.attempts, book.references_freed) == ([], 1)
    assert book.transaction("cancel").status == "succeeded"


def test_a_failed_intent_is_canceled_at_once_too() -> None:
    """It was not charged, and now never will be."""
    book = failed()
    assert book.admit("cancel").transaction.status == "succeeded"
    assert book.view.status == "canceled"


def test_a_cancel_of_an_authorization_asks_the_network() -> None:
    """A 0400 for what was authorized; the capture that comes later is refused."""
    book = authorized()
    letter = book.admit("cancel").letter
    assert (letter.mti, letter.amount_minor, letter.remaining_minor) == ("0400", AMOUNT, None)
    assert book.view.status == "processing"
    assert book.admit("capture") == Lost("operation_in_progress")


def test_a_cancel_behind_a_partial_capture_leaves_what_was_captured() -> None:
    """DE 95 says what stays."""
    book = authorized()
    capture = book.admit("capture", 300, final_capture=False)
    book.settle(capture.letter.attempt_id, APPROVED)
    letter = book.admit("cancel").letter
    assert (letter.amount_minor, letter.remaining_minor) == (AMOUNT, 300)
    assert book.transaction("cancel").amount_minor == AMOUNT - 300


def test_a_cancel_in_doubt_is_noted_and_waits() -> None:
    """The answer is pending; whatever the charge turns out to be, it ends canceled."""
    book = in_doubt()
    admitted = book.admit("cancel")
    assert (admitted.transaction.status, admitted.letter) == ("pending", None)
    assert book.view.cancel_requested
    assert book.view.status == "pending_verification"


def test_a_second_cancel_in_doubt_is_told_of_the_first() -> None:
    """Under another key; that key is taken all the same."""
    book = in_doubt()
    first = book.admit("cancel")
    second = book.admit("cancel")
    assert second.transaction.transaction_id == first.transaction.transaction_id
    assert len(book.keys) == 2
    assert len([t for t in book.view.transactions if t.type == "cancel"]) == 1


def test_a_second_void_in_doubt_is_told_of_the_first() -> None:
    """RV07: the answer is local and the same."""
    book = authorized()
    first = book.admit("cancel")
    book.settle(first.letter.attempt_id, SILENCE)
    second = book.admit("cancel")
    assert second.transaction.transaction_id == first.transaction.transaction_id
    assert second.letter is None


def test_a_refund_reserves_its_amount_under_an_rrn_of_its_own() -> None:
    """The intent stays succeeded; no original stands in DE 90."""
    book = charged()
    charge = book.last("request")
    admitted = book.admit("refund", 400)
    assert (book.view.status, book.view.refund_pending_minor) == ("succeeded", 400)
    letter = admitted.letter
    assert (letter.mti, letter.amount_minor, letter.original, letter.refunding) == (
        "0200",
        400,
        None,
        True,
    )
    assert letter.rrn != charge.rrn
    assert letter.charge_id == charge.transaction_id


def test_what_has_been_captured_may_be_refunded_before_the_rest_is() -> None:
    """money.md 2 asks for the amounts alone; the intent stays authorized and takes its captures."""
    book = authorized()
    capture = book.admit("capture", 400, final_capture=False)
    book.settle(capture.letter.attempt_id, APPROVED)
    assert book.admit("refund", 401) == Lost("amount_exceeds_refundable")
    refund = book.admit("refund", 300)
    second = book.admit("capture", 600)
    book.settle(refund.letter.attempt_id, APPROVED)
    assert (book.view.status, book.view.refunded_minor) == ("processing", 300)
    book.settle(second.letter.attempt_id, APPROVED)
    assert (book.view.status, book.view.captured_minor) == ("succeeded", AMOUNT)


def test_refunds_that_together_exceed_what_was_captured_are_refused() -> None:
    """Pending ones count: concurrent refunds cannot pass each other."""
    book = charged()
    book.admit("refund", 600)
    assert book.admit("refund", 401) == Lost("amount_exceeds_refundable")
    assert isinstance(book.admit("refund", 400), Admitted)
    assert book.admit("refund") == Lost("amount_exceeds_refundable")


def test_disputed_amounts_are_not_refunded() -> None:
    """money.md 2: refunded + refund_pending + disputed + x <= captured."""
    book = charged()
    book.view = replace(book.view, disputed_minor=900)
    assert book.admit("refund", 101) == Lost("amount_exceeds_refundable")
    assert book.admit("refund").transaction.amount_minor == 100


def test_the_same_key_gets_the_same_transaction() -> None:
    """Whatever became of the intent since."""
    book = charged()
    order = book.order("refund", 400)
    first = book.decide(Admit(order, book.context()))
    repeat = replace(order, transaction_id=b"u" * 16)
    second = book.decide(Admit(repeat, book.context()))
    assert second.replayed
    assert second.letter is None
    assert second.transaction.transaction_id == first.transaction.transaction_id
    assert book.view.refund_pending_minor == 400


def test_another_request_under_a_key_is_refused() -> None:
    """Nothing of it is done."""
    book = charged()
    order = book.order("refund", 400)
    book.decide(Admit(order, book.context()))
    other = replace(order, transaction_id=b"u" * 16, request_hash=b"o" * 16)
    assert book.decide(Admit(other, book.context())) == Lost("idempotency_key_reused")


def test_the_sweeper_cancels_an_authorization_without_a_key() -> None:
    """Past its time; the cancel is put down to expiry."""
    book = authorized()
    book.now_us = NOW_US + 8 * 86_400_000_000
    order = book.order("cancel", key_digest=b"", request_id=EXPIRY_REQUEST_ID)
    step = Admit(order, book.context("expiry"))
    assert step.key is None
    admitted = book.decide(step)
    assert admitted.letter.mti == "0400"
    book.settle(admitted.letter.attempt_id, APPROVED)
    assert (book.view.status, book.view.canceled_by) == ("canceled", "expiry")
    assert book.keys == {}
