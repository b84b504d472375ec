"""Another attempt of the same charge: one at a time, and only where nothing moved."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.operations.records import Spare
from switch.core.operations.retrying import Again, may_retry
from switch.core.operations.steps import TryAgain
from tests.support.operations import (
    APPROVED,
    DECLINED,
    INTENT,
    NOT_SENT,
    SILENCE,
    Book,
    partial,
)

AWAY = replace(DECLINED, response_code="91", decline_code="issuer_unavailable")


def again(book: Book, attempt_id: bytes, finding: Finding, spare: Spare | None = None) -> Any:
    """Try once more."""
    context = book.context(spare=spare or book.spare())
    return book.decide(TryAgain(INTENT, attempt_id, context, mti="0200", finding=finding))


@pytest.mark.parametrize("finding", [NOT_SENT, AWAY, replace(AWAY, response_code="96")])
def test_what_moved_nothing_may_be_tried_again(finding: Finding) -> None:
    """91, 96 and not sent."""
    assert may_retry(finding)


@pytest.mark.parametrize(
    "finding", [DECLINED, SILENCE, APPROVED, partial(1), replace(SILENCE, response_code="91")]
)
def test_nothing_else_may_be_tried_again(finding: Finding) -> None:
    """Never after a byte left that nobody answered, and never a decline of the card."""
    assert not may_retry(finding)


def test_every_try_that_is_declined_counts_as_one() -> None:
    """Both are remembered for the schemes' caps; one that never left is none."""
    book = Book()
    first = book.charge(mti="0200")
    again(book, first.attempt_id, AWAY)
    second = book.last("request")
    book.settle(second.attempt_id, AWAY)
    assert [(each.attempt_id, each.decline_class) for each in book.declines] == [
        (first.attempt_id, "soft"),
        (second.attempt_id, "soft"),
    ]
    unsent = Book()
    again(unsent, unsent.charge(mti="0200").attempt_id, NOT_SENT)
    assert unsent.declines == []


@pytest.mark.parametrize("finding", [AWAY, NOT_SENT])
def test_a_second_attempt_takes_the_place_of_the_first(finding: Finding) -> None:
    """New STAN, new RRN, the same transaction; the merchant hears of neither."""
    book = Book()
    first = book.charge(mti="0200")
    version = book.view.version
    answer = again(book, first.attempt_id, finding)
    assert isinstance(answer, Again)
    second = book.last("request")
    assert second.attempt_id == answer.attempt.attempt_id
    assert (second.rrn != first.rrn, second.stan != first.stan) == (True, True)
    assert second.amount_minor == first.amount_minor
    assert book.attempt(first.attempt_id).result == finding.result
    assert (book.transaction("charge").status, book.view.version) == ("pending", version)
    book.settle(second.attempt_id, APPROVED)
    assert book.view.status == "succeeded"


def test_another_network_may_be_tried() -> None:
    """Its own numbers and acquirer id come with the spare."""
    book = Book()
    first = book.charge(mti="0200")
    answer = again(book, first.attempt_id, NOT_SENT, book.spare("vsim"))
    assert (answer.attempt.network, first.network) == ("vsim", "msim")


@pytest.mark.parametrize("finding", [SILENCE, APPROVED, partial(1)])
def test_nothing_is_tried_again_that_may_have_moved(finding: Finding) -> None:
    """Never a second network after a byte left for the first."""
    book = Book()
    first = book.charge(mti="0200")
    before = book.view
    assert again(book, first.attempt_id, finding) == Lost("not_waiting")
    assert book.view == before


def test_an_attempt_that_has_a_result_is_not_replaced() -> None:
    """Recovery, or another switch, has called it unknown meanwhile."""
    book = Book()
    first = book.charge(mti="0200")
    book.settle(first.attempt_id, SILENCE)
    assert again(book, first.attempt_id, AWAY) == Lost("not_waiting")


def test_an_approval_of_the_attempt_before_is_given_back() -> None:
    """The first was told declined; the charge waits for the second, whatever the first says now."""
    book = Book()
    first = book.charge(mti="0200")
    again(book, first.attempt_id, AWAY)
    second = book.last("request")
    book.settle(first.attempt_id, APPROVED)
    assert book.exception_kinds == ["second_answer_approved"]
    release = book.last("release")
    assert (release.rrn, release.mti, book.transaction("charge").status) == (
        first.rrn,
        "0420",
        "pending",
    )
    book.settle(release.attempt_id, APPROVED)
    assert [row.attempt_id for row in book.saf()] == [release.attempt_id]
    book.settle(second.attempt_id, APPROVED)
    assert (book.view.status, book.view.captured_minor) == ("succeeded", book.view.amount_minor)
    book.settle(release.attempt_id, APPROVED)
    assert (book.view.status, book.saf()) == ("succeeded", [])
