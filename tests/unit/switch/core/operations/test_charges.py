"""What becomes of a charge, once and after doubt."""

from __future__ import annotations

import pytest

from switch.core.operations.records import Conclusion
from tests.support.operations import (
    AMOUNT,
    APPROVED,
    DECLINED,
    NOT_SENT,
    NOW_US,
    RULES,
    SECOND_US,
    SILENCE,
    Book,
    partial,
)


def in_doubt(*, mti: str = "0200", **intent: object) -> tuple[Book, bytes]:
    """A charge that nobody has answered, and its attempt."""
    book = Book(**intent)
    attempt = book.charge(mti=mti)
    book.settle(attempt.attempt_id, SILENCE, actor="switch")
    return book, attempt.attempt_id


@pytest.mark.parametrize(
    ("finding", "transaction", "intent", "result"),
    [
        (APPROVED, "succeeded", "succeeded", "approved"),
        (DECLINED, "failed", "failed", "declined"),
        (NOT_SENT, "failed", "failed", "not_sent"),
        (SILENCE, "pending_verification", "pending_verification", "unknown"),
    ],
)
def test_a_first_result_moves_transaction_and_intent(
    finding: object, transaction: str, intent: str, result: str
) -> None:
    """Doubt is never a decline, and a charge that did not leave has failed."""
    book = Book()
    attempt = book.charge(mti="0200")
    conclusion = book.settle(attempt.attempt_id, finding)
    assert isinstance(conclusion, Conclusion)
    assert (conclusion.transaction.status, book.view.status) == (transaction, intent)
    assert book.attempt(attempt.attempt_id).result == result
    assert (book.view.live_transaction_id is None) == (result != "unknown")


def test_an_approval_captures_its_amount() -> None:
    """An automatic charge takes the money in the same step."""
    book = Book()
    book.settle(book.charge(mti="0200").attempt_id, APPROVED)
    assert (book.view.captured_minor, book.view.capturable_minor) == (AMOUNT, 0)
    assert book.saf() == []


def test_a_dual_message_network_gets_a_completion() -> None:
    """The 0220 is in the queue when the charge has succeeded, due at once."""
    book = Book()
    attempt = book.charge(mti="0100")
    conclusion = book.settle(attempt.attempt_id, APPROVED)
    assert (book.view.status, conclusion.queued) == ("succeeded", True)
    completion = book.last("completion")
    assert (completion.mti, completion.rrn, completion.amount_minor) == (
        "0220",
        attempt.rrn,
        AMOUNT,
    )
    [row] = book.saf()
    assert (row.attempt_id, row.kind, row.repeats) == (completion.attempt_id, "completion", 0)


def test_a_manual_charge_is_authorized_for_a_time() -> None:
    """Nothing is captured; the sweeper will look when the time is over."""
    book = Book(capture_method="manual")
    book.settle(book.charge().attempt_id, APPROVED)
    assert (book.view.status, book.view.capturable_minor, book.view.captured_minor) == (
        "authorized",
        AMOUNT,
        0,
    )
    assert book.view.capture_before_us == NOW_US + RULES.authorization_us
    assert book.expire_at_us == [book.view.capture_before_us]
    assert book.saf() == []


def test_a_partial_approval_is_taken_where_the_merchant_wants_it() -> None:
    """AU13: the approved amount is what the charge is then."""
    book = Book(allow_partial=True)
    conclusion = book.settle(book.charge(mti="0200").attempt_id, partial(600))
    assert (book.view.status, book.view.captured_minor) == ("succeeded", 600)
    assert conclusion.transaction.amount_minor == 600
    assert book.last("request").result == "partial"


def test_a_partial_authorization_caps_the_capture() -> None:
    """AU13, manual: no more than was approved can be captured."""
    book = Book(allow_partial=True, capture_method="manual")
    book.settle(book.charge().attempt_id, partial(600))
    assert book.view.capturable_minor == 600


def test_a_partial_approval_that_nobody_wants_is_taken_back() -> None:
    """AU14: the approved amount is reversed, and the merchant hears why."""
    book = Book()
    attempt = book.charge(mti="0200")
    conclusion = book.settle(attempt.attempt_id, partial(600))
    assert (conclusion.transaction.status, conclusion.transaction.decline_code) == (
        "reversing",
        "partial_not_accepted",
    )
    assert (book.view.status, book.view.reversing) == ("pending_verification", True)
    reversal = book.last("reversal")
    assert (reversal.mti, reversal.rrn, reversal.amount_minor) == ("0420", attempt.rrn, 600)
    book.settle(reversal.attempt_id, APPROVED)
    assert (book.view.status, book.transaction("charge").status) == ("failed", "reversed")
    assert book.transaction("charge").decline_code == "partial_not_accepted"


def test_a_decline_is_remembered_with_its_class() -> None:
    """For the rules on trying a card again."""
    book = Book()
    attempt = book.charge()
    book.settle(attempt.attempt_id, DECLINED)
    [declined] = book.declines
    assert (declined.attempt_id, declined.fingerprint, declined.decline_class) == (
        attempt.attempt_id,
        b"f" * 16,
        "soft",
    )


def test_a_charge_that_did_not_leave_is_no_decline_of_the_card() -> None:
    """The issuer never heard of it."""
    book = Book()
    book.settle(book.charge().attempt_id, NOT_SENT)
    assert book.declines == []


def test_an_unknown_opens_a_window_of_inquiries() -> None:
    """First asked about after a second, reversed after thirty."""
    book, attempt_id = in_doubt()
    [row] = book.view.verification
    assert (row.attempt_id, row.due_at_us, row.window_ends_at_us, row.inquiries) == (
        attempt_id,
        NOW_US + SECOND_US,
        NOW_US + 30 * SECOND_US,
        0,
    )


@pytest.mark.parametrize(("finding", "intent"), [(APPROVED, "succeeded"), (DECLINED, "failed")])
def test_a_late_answer_ends_the_doubt(finding: object, intent: str) -> None:
    """RV03a: before the reversal row it is adopted, and nobody asks any more."""
    book, attempt_id = in_doubt()
    book.settle(attempt_id, finding)
    assert (book.view.status, book.view.verification) == (intent, [])
    assert book.attempt(attempt_id).result == "unknown"
    assert book.attempt(attempt_id).resolution in ("approved", "declined")


def test_more_silence_changes_nothing() -> None:
    """A second time-out, or an undecided answer, leaves the doubt as it is."""
    book, attempt_id = in_doubt()
    before = book.view
    conclusion = book.settle(attempt_id, SILENCE)
    assert (book.view, conclusion.moved) == (before, False)


def test_a_late_partial_approval_is_recorded_as_approved_in_part() -> None:
    """A resolution has no word for it but the amount."""
    book, attempt_id = in_doubt(allow_partial=True)
    book.settle(attempt_id, partial(600))
    attempt = book.attempt(attempt_id)
    assert (attempt.resolution, attempt.approved_minor) == ("approved", 600)
    assert book.view.captured_minor == 600


def test_a_late_approval_of_a_dual_message_charge_is_completed() -> None:
    """The completion follows the adoption, as it would have followed the answer."""
    book, attempt_id = in_doubt(mti="0100")
    book.settle(attempt_id, APPROVED)
    assert [row.kind for row in book.saf()] == ["completion"]


def test_a_late_approval_of_a_manual_charge_is_an_authorization() -> None:
    """Its time runs from the adoption."""
    book, attempt_id = in_doubt(mti="0100", capture_method="manual")
    book.now_us += 5 * SECOND_US
    book.settle(attempt_id, APPROVED)
    assert book.view.status == "authorized"
    assert book.view.capture_before_us == book.now_us + RULES.authorization_us


def test_an_approval_after_a_cancel_is_reversed_and_ends_canceled() -> None:
    """money.md 2: cancel_requested turns an approval into a reversal."""
    book, attempt_id = in_doubt()
    book.admit("cancel")
    conclusion = book.settle(attempt_id, APPROVED)
    assert conclusion.transaction.status == "reversing"
    assert (book.view.status, book.view.captured_minor) == ("pending_verification", 0)
    book.settle(book.last("reversal").attempt_id, APPROVED)
    assert (book.view.status, book.view.canceled_by) == ("canceled", "merchant")
    assert book.transaction("cancel").status == "succeeded"
    assert book.transaction("charge").status == "reversed"
    assert book.references_freed == 1


def test_a_decline_after_a_cancel_ends_canceled_too() -> None:
    """Nothing is reversed: nothing was approved."""
    book, attempt_id = in_doubt()
    book.admit("cancel")
    book.settle(attempt_id, DECLINED)
    assert (book.view.status, book.transaction("charge").status) == ("canceled", "failed")
    assert book.transaction("cancel").status == "succeeded"
    assert [a.kind for a in book.view.attempts] == ["request"]


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        (APPROVED, "succeeded"),
        (DECLINED, "failed"),
        (NOT_SENT, "failed"),
        (SILENCE, "failed"),
        (partial(1), "failed"),
    ],
)
def test_a_verification_leaves_its_intent_created(finding: object, status: str) -> None:
    """It moves no money, so its doubt is a failure and is never reversed."""
    book = Book()
    attempt = book.charge(type_="verification")
    book.settle(attempt.attempt_id, finding)
    assert book.transaction("verification").status == status
    assert (book.view.status, book.view.live_transaction_id) == ("created", None)
    assert (book.view.verification, book.saf()) == ([], [])


def test_a_late_answer_to_a_verification_is_not_reversed() -> None:
    """There is nothing to reverse."""
    book = Book()
    attempt = book.charge(type_="verification")
    book.settle(attempt.attempt_id, SILENCE)
    book.settle(attempt.attempt_id, APPROVED)
    assert (book.transaction("verification").status, book.saf()) == ("failed", [])
