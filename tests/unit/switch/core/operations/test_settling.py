"""Which decision takes a finding, and what inquiries decide."""

from __future__ import annotations

import pytest

from switch.core.findings import Finding
from switch.core.operations.reading import ViewError
from switch.core.operations.steps import Settle
from tests.support.operations import (
    APPROVED,
    DECLINED,
    INTENT,
    NOT_SENT,
    NOTHING_FOUND,
    POISON,
    SECOND_US,
    SILENCE,
    Book,
    authorized,
    charged,
    partial,
)


def inquired(**intent: object) -> tuple[Book, bytes, bytes]:
    """A charge in doubt that is inquired about, its attempt, and the inquiry."""
    book = Book(**intent)
    attempt = book.charge(mti="0200")
    book.settle(attempt.attempt_id, SILENCE)
    book.now_us += SECOND_US
    letter = book.inquire(attempt.attempt_id)
    return book, attempt.attempt_id, letter.attempt_id


@pytest.mark.parametrize(
    ("finding", "intent", "resolution"),
    [(APPROVED, "succeeded", "approved"), (DECLINED, "failed", "declined")],
)
def test_an_inquiry_that_says_so_ends_the_doubt(
    finding: Finding, intent: str, resolution: str
) -> None:
    """IQ01, IQ02: adopted once; the inquiry has its own result too."""
    book, attempt_id, inquiry_id = inquired()
    conclusion = book.settle(inquiry_id, finding)
    assert (book.view.status, conclusion.moved) == (intent, True)
    assert book.attempt(attempt_id).resolution == resolution
    assert book.attempt(inquiry_id).result == finding.result
    assert book.view.verification == []
    before = book.view
    book.settle(inquiry_id, finding)
    assert book.view == before


def test_a_partial_approval_found_by_inquiry_is_reversed_where_nobody_wants_it() -> None:
    """IQ03."""
    book, attempt_id, inquiry_id = inquired()
    book.settle(inquiry_id, partial(600))
    assert book.transaction("charge").status == "reversing"
    assert book.last("reversal").amount_minor == 600
    assert book.attempt(attempt_id).resolution == "approved"


@pytest.mark.parametrize(("finding", "result"), [(SILENCE, "unknown"), (NOT_SENT, "not_sent")])
def test_an_inquiry_that_says_nothing_is_a_remark(finding: Finding, result: str) -> None:
    """IQ04, IQ05: the window goes on; only the inquiry is over."""
    book, attempt_id, inquiry_id = inquired()
    book.settle(inquiry_id, finding)
    assert (book.attempt(inquiry_id).result, book.attempt(attempt_id).resolution) == (result, "")
    assert book.view.status == "pending_verification"
    assert len(book.view.verification) == 1


@pytest.mark.parametrize("finding", [APPROVED, DECLINED])
def test_an_inquiry_answered_after_the_reversal_row_decides_nothing(finding: Finding) -> None:
    """The reversal won."""
    book, attempt_id, inquiry_id = inquired()
    book.close_window(attempt_id)
    book.settle(inquiry_id, finding)
    assert book.transaction("charge").status == "reversing"
    assert book.attempt(attempt_id).resolution == ""
    assert book.attempt(inquiry_id).result == finding.result


def test_an_inquiry_answered_after_a_late_answer_decides_nothing() -> None:
    """The late answer was first."""
    book, attempt_id, inquiry_id = inquired()
    book.settle(attempt_id, DECLINED)
    book.settle(inquiry_id, APPROVED)
    assert (book.view.status, book.attempt(attempt_id).resolution) == ("failed", "declined")


def test_a_late_answer_to_an_inquiry_is_as_good_as_any() -> None:
    """Within the window: the inquiry was given up, its answer is not."""
    book, attempt_id, inquiry_id = inquired()
    book.settle(inquiry_id, SILENCE)
    book.settle(inquiry_id, APPROVED)
    assert (book.view.status, book.attempt(attempt_id).resolution) == ("succeeded", "approved")
    assert (book.attempt(inquiry_id).result, book.attempt(inquiry_id).resolution) == ("unknown", "")


def test_a_refund_is_inquired_about_like_a_charge() -> None:
    """Under its own RRN."""
    book = charged()
    attempt_id = book.admit("refund", 400).letter.attempt_id
    book.settle(attempt_id, SILENCE)
    letter = book.inquire(attempt_id)
    assert (letter.rrn, letter.refunding) == (book.attempt(attempt_id).rrn, True)
    assert letter.original.numbers.stan == book.attempt(attempt_id).stan
    book.settle(letter.attempt_id, APPROVED)
    assert (book.view.refunded_minor, book.view.refund_pending_minor) == (400, 0)


def test_an_acknowledged_completion_moves_nothing() -> None:
    """The charge has long succeeded."""
    book = Book()
    book.settle(book.charge(mti="0100").attempt_id, APPROVED)
    completion = book.last("completion")
    version = book.view.version
    book.settle(completion.attempt_id, APPROVED)
    assert (book.attempt(completion.attempt_id).result, book.saf()) == ("approved", [])
    assert (book.view.version, book.view.status) == (version, "succeeded")


def test_a_completion_that_the_network_knows_nothing_of_goes_to_a_person() -> None:
    """The merchant was told that it succeeded, and the network has not posted it."""
    book = Book()
    book.settle(book.charge(mti="0100").attempt_id, APPROVED)
    book.settle(book.last("completion").attempt_id, NOTHING_FOUND)
    assert (book.exception_kinds, book.saf()) == (["completion_not_posted"], [])


def test_a_poisonous_completion_goes_to_an_operator() -> None:
    """Who acknowledges it, or gives it up."""
    for word, result in ((APPROVED, "approved"), (DECLINED, "declined")):
        book = Book()
        book.settle(book.charge(mti="0100").attempt_id, APPROVED)
        completion = book.last("completion")
        book.settle(completion.attempt_id, POISON)
        assert [row.manual for row in book.saf()] == [True]
        book.settle(completion.attempt_id, word, actor="operator:ada")
        assert (book.attempt(completion.attempt_id).result, book.saf()) == (result, [])
        assert book.view.status == "succeeded"


def test_a_release_that_finds_nothing_is_over() -> None:
    """The hold has lapsed by itself: nothing to tell anybody."""
    book = authorized()
    book.settle(book.admit("capture", 400).letter.attempt_id, APPROVED)
    book.settle(book.last("release").attempt_id, NOTHING_FOUND)
    assert (book.exceptions, book.saf()) == ([], [])


def test_a_finding_about_nothing_is_a_fault() -> None:
    """An attempt that is not there, or of a kind that its transaction cannot have."""
    book = charged()
    with pytest.raises(ViewError):
        Settle(INTENT, b"?" * 16, book.context(), finding=APPROVED).decide(book.view)
