"""Refunds: their amount stays reserved until it is refunded, declined or reversed."""

from __future__ import annotations

import pytest

from switch.core.findings import Finding
from tests.support.operations import (
    AMOUNT,
    APPROVED,
    DECLINED,
    NOT_SENT,
    SILENCE,
    Book,
    charged,
    partial,
)


def refunding(amount_minor: int = 400) -> tuple[Book, bytes]:
    """A charged intent with a refund under way, and its attempt."""
    book = charged()
    return book, book.admit("refund", amount_minor).letter.attempt_id


@pytest.mark.parametrize(
    ("finding", "status", "refunded"),
    [(APPROVED, "succeeded", 400), (DECLINED, "failed", 0), (NOT_SENT, "failed", 0)],
)
def test_a_first_result_frees_the_reserved_amount(
    finding: Finding, status: str, refunded: int
) -> None:
    """It was refunded, or may be asked for again; the intent stays succeeded."""
    book, attempt_id = refunding()
    book.settle(attempt_id, finding)
    assert book.transaction("refund").status == status
    assert (book.view.refund_pending_minor, book.view.refunded_minor) == (0, refunded)
    assert (book.view.status, book.view.live_transaction_id) == ("succeeded", None)


@pytest.mark.parametrize("finding", [SILENCE, partial(100)])
def test_an_unknown_refund_keeps_its_amount_reserved(finding: Finding) -> None:
    """IQ08: it is inquired about; a part of it is no answer."""
    book, attempt_id = refunding()
    book.settle(attempt_id, finding)
    assert book.transaction("refund").status == "pending_verification"
    assert (book.view.status, book.view.refund_pending_minor) == ("succeeded", 400)
    assert [row.attempt_id for row in book.view.verification] == [attempt_id]


@pytest.mark.parametrize(("finding", "refunded"), [(APPROVED, 400), (DECLINED, 0)])
def test_a_late_answer_is_adopted(finding: Finding, refunded: int) -> None:
    """Before the reversal row."""
    book, attempt_id = refunding()
    book.settle(attempt_id, SILENCE)
    book.settle(attempt_id, finding)
    assert (book.view.refund_pending_minor, book.view.refunded_minor) == (0, refunded)
    assert book.view.verification == []


def test_a_refund_that_nobody_answers_is_reversed() -> None:
    """IQ08: a 0420 of the refund under its own RRN; its amount leaves the reservation."""
    book, attempt_id = refunding()
    book.settle(attempt_id, SILENCE)
    book.close_window(attempt_id)
    reversal = book.last("reversal")
    assert (reversal.rrn, reversal.amount_minor) == (book.attempt(attempt_id).rrn, 400)
    assert book.transaction("refund").status == "reversing"
    assert (book.view.status, book.view.reversing, book.view.refund_pending_minor) == (
        "succeeded",
        False,
        400,
    )
    book.settle(reversal.attempt_id, APPROVED)
    assert book.transaction("refund").status == "reversed"
    assert (book.view.refund_pending_minor, book.view.refunded_minor) == (0, 0)
    assert book.attempt(attempt_id).resolution == "reversed"


def test_refunds_do_not_wait_for_each_other() -> None:
    """One in doubt leaves the others free."""
    book, first = refunding()
    book.settle(first, SILENCE)
    second = book.admit("refund", 500).letter.attempt_id
    book.settle(second, APPROVED)
    assert (book.view.refund_pending_minor, book.view.refunded_minor) == (400, 500)
    book.settle(first, APPROVED)
    assert (book.view.refund_pending_minor, book.view.refunded_minor) == (0, 900)
    assert book.admit("refund").transaction.amount_minor == AMOUNT - 900
