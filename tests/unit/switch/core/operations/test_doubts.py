"""Inquiries are recorded before they are sent, and only while there is something to ask."""

from __future__ import annotations

from msgspec.structs import replace

from switch.core.doubt import DoubtPolicy
from switch.core.operations.steps import Inquire
from tests.support.operations import (
    APPROVED,
    INTENT,
    NOW_US,
    RULES,
    SECOND_US,
    SILENCE,
    Book,
)


def in_doubt() -> tuple[Book, bytes]:
    """A charge that nobody has answered, and its attempt."""
    book = Book()
    attempt = book.charge(mti="0200")
    book.settle(attempt.attempt_id, SILENCE)
    return book, attempt.attempt_id


def test_an_inquiry_is_an_attempt_and_puts_off_the_next_one() -> None:
    """At 1, 3 and 8 s after the doubt began, then the end of the window."""
    book, attempt_id = in_doubt()
    for number, (at_s, next_s) in enumerate([(1, 3), (3, 8), (8, 30)], start=1):
        book.now_us = NOW_US + at_s * SECOND_US
        letter = book.inquire(attempt_id)
        inquiry = book.last("inquiry")
        assert (letter.attempt_id, inquiry.mti) == (inquiry.attempt_id, "0600")
        assert inquiry.transaction_id == book.attempt(attempt_id).transaction_id
        [row] = book.view.verification
        assert (row.inquiries, row.due_at_us) == (number, NOW_US + next_s * SECOND_US)


def test_nobody_asks_more_often_than_the_policy_says() -> None:
    """The fourth time there is nothing left to ask."""
    book, attempt_id = in_doubt()
    for _ in range(3):
        book.now_us += SECOND_US
        assert book.inquire(attempt_id) is not None
    before = book.view
    assert book.inquire(attempt_id) is None
    assert book.view == before


def test_nobody_asks_about_what_has_been_decided() -> None:
    """A late answer was adopted, or the window closed, since the row was found due."""
    book, attempt_id = in_doubt()
    book.settle(attempt_id, APPROVED)
    assert book.inquire(attempt_id) is None
    book, attempt_id = in_doubt()
    book.close_window(attempt_id)
    assert book.inquire(attempt_id) is None


def test_a_policy_that_reverses_asks_nothing() -> None:
    """Even where a row of an older policy is still there."""
    book, attempt_id = in_doubt()
    reverse = DoubtPolicy("reverse", inquiry_times_s=(1,), window_s=30)
    context = book.context(rules=replace(RULES, doubt=reverse))
    assert book.decide(Inquire(INTENT, attempt_id, context)) is None
