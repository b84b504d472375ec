"""Reversals: one of adopting and reversing wins, and what comes later is never delivered."""

from __future__ import annotations

import pytest

from switch.core.findings import Finding
from switch.core.operations.reading import ViewError
from switch.core.operations.steps import CloseWindow
from tests.support.operations import (
    AMOUNT,
    APPROVED,
    DECLINED,
    INTENT,
    NOT_NOW,
    NOTHING_FOUND,
    POISON,
    SILENCE,
    Book,
    charged,
    partial,
)


def in_doubt(**intent: object) -> tuple[Book, bytes]:
    """A charge that nobody has answered, and its attempt."""
    book = Book(**intent)
    attempt = book.charge(mti="0200")
    book.settle(attempt.attempt_id, SILENCE)
    return book, attempt.attempt_id


def reversing() -> tuple[Book, bytes, bytes]:
    """A charge that is being reversed, its attempt, and its reversal."""
    book, attempt_id = in_doubt()
    book.close_window(attempt_id)
    return book, attempt_id, book.last("reversal").attempt_id


def test_a_closed_window_begins_a_reversal() -> None:
    """RV01: the 0420 is recorded and due, and no inquiry is any more."""
    book, attempt_id = in_doubt()
    conclusion = book.close_window(attempt_id)
    assert (conclusion.transaction.status, conclusion.queued) == ("reversing", True)
    original, reversal = book.attempt(attempt_id), book.last("reversal")
    assert (reversal.mti, reversal.rrn, reversal.amount_minor) == ("0420", original.rrn, AMOUNT)
    assert (reversal.stan, reversal.rrn) != (original.stan, original.stan)
    assert [(row.attempt_id, row.kind, row.repeats) for row in book.saf()] == [
        (reversal.attempt_id, "reversal", 0)
    ]
    assert (book.view.reversing, book.view.verification) == (True, [])
    assert book.view.status == "pending_verification"


@pytest.mark.parametrize("finding", [APPROVED, DECLINED])
def test_a_window_closes_on_nothing_once_an_answer_is_adopted(finding: Finding) -> None:
    """The adoption won: no reversal is begun."""
    book, attempt_id = in_doubt()
    book.settle(attempt_id, finding)
    before = book.view
    book.close_window(attempt_id)
    assert book.view == before


@pytest.mark.parametrize("finding", [APPROVED, NOTHING_FOUND])
def test_a_final_answer_ends_the_reversal(finding: Finding) -> None:
    """00, 94, 25, 21: the charge is reversed, its intent failed and free."""
    book, attempt_id, reversal_id = reversing()
    conclusion = book.settle(reversal_id, finding)
    assert conclusion.transaction.status == "reversed"
    assert (book.view.status, book.view.live_transaction_id, book.view.reversing) == (
        "failed",
        None,
        False,
    )
    assert (book.attempt(attempt_id).resolution, book.attempt(reversal_id).result) == (
        "reversed",
        "approved",
    )
    assert book.saf() == []
    assert book.transaction("charge").decline_code == "not_confirmed"


@pytest.mark.parametrize("finding", [NOT_NOW, SILENCE, DECLINED])
def test_no_other_answer_ends_it(finding: Finding) -> None:
    """I5: it stays in its queue, whatever is said."""
    book, _, reversal_id = reversing()
    before = book.view
    book.settle(reversal_id, finding)
    assert book.view == before


def test_a_poisonous_reversal_goes_to_an_operator() -> None:
    """RV09: it stays, and an operator's word ends it."""
    book, attempt_id, reversal_id = reversing()
    book.settle(reversal_id, POISON)
    [row] = book.saf()
    assert (row.manual, book.exception_kinds) == (True, ["advice_rejected"])
    assert book.transaction("charge").status == "reversing"
    book.settle(reversal_id, APPROVED, actor="operator:ada")
    assert (book.view.status, book.saf()) == ("failed", [])
    assert book.attempt(attempt_id).resolution == "manual"


def test_an_approval_after_the_reversal_row_is_stored_and_not_delivered() -> None:
    """RV03b: an exception, and the reversal stands."""
    book, attempt_id, reversal_id = reversing()
    before = book.view
    conclusion = book.settle(attempt_id, APPROVED)
    assert (book.view, conclusion.transaction.status) == (before, "reversing")
    assert book.exception_kinds == ["late_approval"]
    book.settle(reversal_id, APPROVED)
    book.settle(attempt_id, APPROVED)
    assert book.view.status == "failed"
    assert book.exception_kinds == ["late_approval"]


def test_a_decline_after_the_reversal_row_changes_nothing() -> None:
    """RV04: the 0420 is still sent; what it finds is final."""
    book, attempt_id, _ = reversing()
    before = book.view
    book.settle(attempt_id, DECLINED)
    assert (book.view, book.exceptions) == (before, [])


@pytest.mark.parametrize("finding", [APPROVED, partial(600)])
def test_a_second_answer_that_approves_what_we_hold_declined_is_reversed(finding: Finding) -> None:
    """MT04: a 0420 attempt and an exception; the transaction stays failed."""
    book = Book()
    attempt = book.charge(mti="0200")
    book.settle(attempt.attempt_id, DECLINED)
    version = book.view.version
    conclusion = book.settle(attempt.attempt_id, finding)
    assert (conclusion.transaction.status, book.view.status) == ("failed", "failed")
    assert book.exception_kinds == ["second_answer_approved"]
    reversal = book.last("reversal")
    assert reversal.amount_minor == (finding.approved_minor or AMOUNT)
    assert (book.view.version, book.view.reversing) == (version, False)
    book.settle(attempt.attempt_id, finding)
    assert len([a for a in book.view.attempts if a.kind == "reversal"]) == 1
    book.settle(reversal.attempt_id, APPROVED)
    assert (book.transaction("charge").status, book.saf()) == ("failed", [])
    assert book.attempt(reversal.attempt_id).result == "approved"


def test_a_second_answer_that_declines_what_we_hold_approved_goes_to_a_person() -> None:
    """The first answer stands."""
    book = charged()
    before = book.view
    book.settle(book.last("request").attempt_id, DECLINED)
    assert book.view == before
    assert book.exception_kinds == ["second_answer_declined"]


def test_the_same_answer_twice_is_nothing() -> None:
    """First wins, a later identical one is counted elsewhere."""
    book = charged()
    before = book.view
    book.settle(book.last("request").attempt_id, APPROVED)
    assert (book.view, book.exceptions) == (before, [])


def test_a_failed_intent_is_charged_again_while_a_contradiction_is_mended() -> None:
    """The reversal is of the old charge; the new one does not wait for it."""
    book = Book()
    old = book.charge(mti="0200")
    book.settle(old.attempt_id, DECLINED)
    book.settle(old.attempt_id, APPROVED)
    book.settle(book.charge(mti="0200").attempt_id, APPROVED)
    assert book.view.status == "succeeded"
    book.settle(book.last("reversal").attempt_id, APPROVED)
    assert (book.view.status, book.view.captured_minor, book.saf()) == ("succeeded", AMOUNT, [])


def test_a_reversed_intent_may_be_charged_again() -> None:
    """From failed to processing, with a new transaction."""
    book, _, reversal_id = reversing()
    book.settle(reversal_id, APPROVED)
    book.settle(book.charge(mti="0200").attempt_id, APPROVED)
    assert book.view.status == "succeeded"


def test_an_attempt_that_is_not_there_is_a_fault() -> None:
    """Nobody reverses what was never sent."""
    book, _ = in_doubt()
    with pytest.raises(ViewError):
        CloseWindow(INTENT, b"?" * 16, book.context()).decide(book.view)
