"""Cancels of an authorization: once recorded, nothing is captured any more."""

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


def canceling() -> tuple[Book, bytes]:
    """An authorized intent with a cancel under way, and its 0400."""
    book = authorized()
    return book, book.admit("cancel").letter.attempt_id


def forwarded() -> tuple[Book, bytes, bytes]:
    """A cancel whose 0400 was not answered, with its 0400 and its 0420."""
    book, attempt_id = canceling()
    book.settle(attempt_id, SILENCE)
    return book, attempt_id, book.last("request").attempt_id


@pytest.mark.parametrize("finding", [APPROVED, NOTHING_FOUND])
def test_an_answered_cancel_is_the_end(finding: Finding) -> None:
    """RV06; where the network holds nothing there is nothing to give back either."""
    book, attempt_id = canceling()
    book.settle(attempt_id, finding)
    assert (book.view.status, book.view.capturable_minor) == ("canceled", 0)
    assert (book.transaction("cancel").status, book.saf()) == ("succeeded", [])
    assert book.references_freed == 1


@pytest.mark.parametrize(
    ("finding", "result"),
    [
        (SILENCE, "unknown"),
        (NOT_SENT, "not_sent"),
        (NOT_NOW, "declined"),
        (POISON, "declined"),
    ],
)
def test_whatever_else_comes_of_a_0400_a_0420_follows(finding: Finding, result: str) -> None:
    """The merchant hears that it is pending; the authorization is given up."""
    book, attempt_id = canceling()
    conclusion = book.settle(attempt_id, finding)
    assert (conclusion.transaction.status, conclusion.queued) == ("pending_verification", True)
    assert book.attempt(attempt_id).result == result
    advice = book.last("request")
    assert (advice.mti, advice.amount_minor, advice.rrn) == (
        "0420",
        AMOUNT,
        book.attempt(attempt_id).rrn,
    )
    assert [(row.attempt_id, row.repeats) for row in book.saf()] == [(advice.attempt_id, 0)]
    assert book.admit("capture") == Lost("operation_in_doubt")


def test_the_acknowledged_0420_ends_the_cancel_and_resolves_the_0400() -> None:
    """Every attempt ends in one terminal outcome (I2)."""
    book, first, second = forwarded()
    book.settle(second, APPROVED)
    assert (book.view.status, book.transaction("cancel").status) == ("canceled", "succeeded")
    assert (book.attempt(first).result, book.attempt(first).resolution) == ("unknown", "approved")
    assert (book.attempt(second).result, book.attempt(second).resolution) == ("approved", "")
    assert book.saf() == []


def test_a_late_answer_to_the_0400_leaves_the_last_word_to_the_0420() -> None:
    """It is on its way, and its acknowledgment will come."""
    book, first, second = forwarded()
    before = book.view
    book.settle(first, APPROVED)
    assert book.view == before
    book.settle(second, NOT_NOW)
    book.settle(second, SILENCE)
    assert book.view == before


def test_a_poisonous_0420_goes_to_an_operator() -> None:
    """Who may find that the network holds it as done, or never will."""
    book, _, second = forwarded()
    book.settle(second, POISON)
    [row] = book.saf()
    assert row.manual
    assert book.exception_kinds == ["advice_rejected"]


@pytest.mark.parametrize(
    ("finding", "transaction", "intent", "result"),
    [
        (APPROVED, "succeeded", "canceled", "approved"),
        (DECLINED, "failed", "authorized", "declined"),
    ],
)
def test_an_operator_ends_it(finding: Finding, transaction: str, intent: str, result: str) -> None:
    """Only a person can say that the authorization stands after all."""
    book, first, second = forwarded()
    book.settle(second, POISON)
    book.settle(second, finding, actor="operator:ada")
    assert (book.transaction("cancel").status, book.view.status) == (transaction, intent)
    assert (book.attempt(first).resolution, book.attempt(second).result) == ("manual", result)
    assert book.saf() == []


def test_what_was_captured_before_stays_the_merchants() -> None:
    """The rest is given back: the intent has succeeded with what it has."""
    book = authorized()
    capture = book.admit("capture", 300, final_capture=False)
    book.settle(capture.letter.attempt_id, APPROVED)
    book.settle(book.admit("cancel").letter.attempt_id, APPROVED)
    assert (book.view.status, book.view.captured_minor, book.view.capturable_minor) == (
        "succeeded",
        300,
        0,
    )
    assert book.admit("refund").transaction.amount_minor == 300


def test_an_answer_to_a_cancel_that_is_over_changes_nothing() -> None:
    """Duplicates of the acknowledgment, and of the answer before it."""
    book, first, second = forwarded()
    book.settle(second, APPROVED)
    before = book.view
    for attempt_id in (first, second):
        for finding in (APPROVED, POISON, SILENCE):
            book.settle(attempt_id, finding)
    assert book.view == before
