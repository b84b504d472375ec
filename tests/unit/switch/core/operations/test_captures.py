"""Captures: repeated until they are taken in, never reversed by themselves."""

from __future__ import annotations

import pytest

from ledger.records import Lost
from switch.core.findings import Finding
from tests.support.operations import (
    AMOUNT,
    APPROVED,
    DECLINED,
    NOT_NOW,
    NOT_SENT,
    NOTHING_FOUND,
    POISON,
    SILENCE,
    Book,
    authorized,
)


def capturing(amount_minor: int = 0, *, final: bool = True) -> tuple[Book, bytes]:
    """An authorized intent with a capture under way, and its attempt."""
    book = authorized()
    admitted = book.admit("capture", amount_minor, final_capture=final)
    return book, admitted.letter.attempt_id


def test_an_acknowledged_capture_of_everything_is_the_end() -> None:
    """CP01: captured once, nothing is left to release."""
    book, attempt_id = capturing()
    conclusion = book.settle(attempt_id, APPROVED)
    assert (conclusion.transaction.status, conclusion.queued) == ("succeeded", False)
    assert (book.view.status, book.view.captured_minor, book.view.capturable_minor) == (
        "succeeded",
        AMOUNT,
        0,
    )
    assert book.saf() == []


def test_a_final_capture_of_less_releases_the_rest() -> None:
    """A 0420 with DE 95 follows, for what was authorized; DE 95 is what was captured."""
    book, attempt_id = capturing(400)
    conclusion = book.settle(attempt_id, APPROVED)
    assert conclusion.queued
    assert (book.view.status, book.view.captured_minor, book.view.capturable_minor) == (
        "succeeded",
        400,
        0,
    )
    release = book.last("release")
    assert (release.mti, release.amount_minor) == ("0420", AMOUNT)
    assert [row.attempt_id for row in book.saf()] == [release.attempt_id]
    book.settle(release.attempt_id, APPROVED)
    assert book.saf() == []
    assert (book.attempt(release.attempt_id).result, book.view.status) == ("approved", "succeeded")


def test_several_captures_share_what_was_authorized() -> None:
    """CP04: three captures, the sum is checked, the last one ends it."""
    book = authorized()
    for amount_minor in (300, 300):
        admitted = book.admit("capture", amount_minor, final_capture=False)
        book.settle(admitted.letter.attempt_id, APPROVED)
        assert book.view.status == "authorized"
    assert book.view.capturable_minor == 400
    assert book.admit("capture", 401) == Lost("amount_exceeds_capturable")
    admitted = book.admit("capture", 400, final_capture=False)
    book.settle(admitted.letter.attempt_id, APPROVED)
    assert (book.view.status, book.view.captured_minor) == ("succeeded", AMOUNT)
    assert book.saf() == []


@pytest.mark.parametrize("finding", [SILENCE, NOT_NOW, NOT_SENT])
def test_an_unanswered_capture_stays_in_its_queue(finding: Finding) -> None:
    """CP02: the merchant hears that it is pending; the 0221 follows, and nothing is reversed."""
    book, attempt_id = capturing()
    conclusion = book.settle(attempt_id, finding)
    assert conclusion.transaction.status == "pending_verification"
    assert book.view.status == "pending_verification"
    assert [row.attempt_id for row in book.saf()] == [attempt_id]
    assert book.view.verification == []
    again = book.settle(attempt_id, finding)
    assert not again.moved
    book.settle(attempt_id, APPROVED)
    assert (book.view.status, book.saf()) == ("succeeded", [])
    assert book.attempt(attempt_id).resolution == "approved"


def test_a_capture_that_the_network_knows_nothing_of_fails() -> None:
    """The authorization is as it was, and a person is told."""
    book, attempt_id = capturing()
    book.settle(attempt_id, NOTHING_FOUND)
    assert (book.transaction("capture").status, book.view.status) == ("failed", "authorized")
    assert (book.view.capturable_minor, book.saf()) == (AMOUNT, [])
    assert book.exception_kinds == ["capture_not_found"]


def test_a_poisonous_capture_goes_to_an_operator() -> None:
    """It blocks nobody, and the merchant hears that it is pending."""
    book, attempt_id = capturing()
    conclusion = book.settle(attempt_id, POISON)
    assert conclusion.transaction.status == "pending_verification"
    [row] = book.saf()
    assert row.manual
    assert book.exception_kinds == ["advice_rejected"]
    book.settle(attempt_id, POISON)
    assert book.exception_kinds == ["advice_rejected"]


@pytest.mark.parametrize(
    ("finding", "transaction", "intent"),
    [(APPROVED, "succeeded", "succeeded"), (DECLINED, "failed", "authorized")],
)
def test_an_operator_says_what_became_of_it(
    finding: Finding, transaction: str, intent: str
) -> None:
    """Acknowledged or refused; the resolution says that a person decided."""
    book, attempt_id = capturing()
    book.settle(attempt_id, POISON)
    book.settle(attempt_id, finding, actor="operator:ada")
    assert (book.transaction("capture").status, book.view.status) == (transaction, intent)
    assert book.attempt(attempt_id).resolution == "manual"
    assert book.saf() == []


def test_an_answer_to_a_capture_that_is_over_changes_nothing() -> None:
    """A repeat that crossed its acknowledgment."""
    book, attempt_id = capturing(400)
    book.settle(attempt_id, APPROVED)
    before = book.view
    book.settle(attempt_id, APPROVED)
    book.settle(attempt_id, NOTHING_FOUND)
    assert book.view == before


@pytest.mark.parametrize(
    ("first", "second"), [(APPROVED, NOTHING_FOUND), (NOTHING_FOUND, APPROVED)]
)
def test_a_second_answer_that_contradicts_the_first_goes_to_a_person(
    first: Finding, second: Finding
) -> None:
    """The first stands and nothing is reversed: one of them is the network's mistake."""
    book, attempt_id = capturing()
    book.settle(attempt_id, first)
    before = book.view
    for finding in (first, second, SILENCE, POISON, second):
        book.settle(attempt_id, finding)
    assert book.view == before
    assert book.exception_kinds[-1] == "capture_contradicted"
    assert book.exception_kinds.count("capture_contradicted") == 1


def test_what_an_operator_gave_up_may_turn_out_captured() -> None:
    """The network's own word comes later, and is not lost."""
    book, attempt_id = capturing()
    book.settle(attempt_id, POISON)
    book.settle(attempt_id, DECLINED, actor="operator:ada")
    assert book.view.status == "authorized"
    book.settle(attempt_id, APPROVED)
    assert (book.view.status, book.view.captured_minor) == ("authorized", 0)
    assert book.exception_kinds == ["advice_rejected", "capture_contradicted"]
