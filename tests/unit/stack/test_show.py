"""Payments as people read them."""

from __future__ import annotations

import io
from typing import Any

import pytest

from stack.payments import Payment
from stack.show import list_table, make_console, print_whole, summary_box, timeline_lines
from tests.support import payments


@pytest.mark.parametrize(
    ("payment", "last"),
    [
        pytest.param(
            payments.approved(), "approved, DE 39 = 00, approval code 321000", id="approved"
        ),
        pytest.param(
            payments.declined(),
            "declined, DE 39 = 05, generic_decline (use_other_card)",
            id="declined",
        ),
        pytest.param(payments.reversed_(), "reversed, DE 39 = 00", id="reversed"),
    ],
)
def test_each_line_says_who_did_what_and_when(payment: Payment, last: str) -> None:
    """Time, elapsed time, actor, status, words; one line an event."""
    lines = list(timeline_lines(payment))
    assert lines[0] == "03:04:05.123   +0.000 s  api            created               24.99 USD"
    assert lines[1] == (
        "03:04:05.873   +0.750 s  api            processing            "
        "0200 to vsim, STAN 000123, RRN 00253HVJ6Z4C"
    )
    assert len(lines) == len(payment.events)
    assert lines[-1].endswith(last)


def test_a_late_answer_shows_both_outcomes() -> None:
    """The time-out and the adopted answer are events of their own."""
    lines = list(timeline_lines(payments.late()))
    assert [line.split()[4] for line in lines] == [
        "created",
        "processing",
        "pending_verification",
        "succeeded",
    ]


def _words(payment: Payment) -> list[str]:
    """What each line says behind the actor, its spaces made one."""
    return [" ".join(line[38:].split()) for line in timeline_lines(payment)]


def test_inquiries_are_told_with_what_they_found() -> None:
    """Each question with its own STAN, and what the network said."""
    assert _words(payments.verified())[2:] == [
        "pending_verification no answer that decides it: the outcome is unknown",
        "inquiry started 0600 to vsim, STAN 000124, RRN 00253HVJ6Z4C",
        "inquiry ended the network does not say, DE 39 = 25",
        "inquiry started 0600 to vsim, STAN 000125, RRN 00253HVJ6Z4C",
        "inquiry ended the network had approved it, DE 39 = 00",
        "succeeded approved, DE 39 = 00, approval code 321000",
    ]


def test_a_reversal_is_told_with_its_repeats() -> None:
    """That it began, that it was acknowledged and after how many sendings, what that meant."""
    assert _words(payments.reversed_())[3:] == [
        "charge reversing 0420 to vsim, STAN 000130, RRN 00253HVJ6Z4C",
        "reversal ended acknowledged, DE 39 = 00, sent 2 times",
        "payment_failed reversed, DE 39 = 00",
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [({"sends": 1}, ""), ({"sends": 4}, ", sent 4 times"), ({"manual": True}, "an operator")],
)
def test_an_advice_under_way_says_how_it_stands(data: dict[str, Any], words: str) -> None:
    """One sending is nothing to tell; repeats are, and that a person looks after it."""
    begun = {**payments.REVERSAL, "transactionStatus": "reversing", **data}
    told = payments.payment("pending_verification", ("transaction.reversing", begun))
    line = list(timeline_lines(told))[-1]
    assert line.endswith(f"RRN 00253HVJ6Z4C{words}" if not data.get("manual") else words)


def test_long_values_are_not_cut_where_no_terminal_is() -> None:
    """A key in the box can be copied whole, and no color codes surround it."""
    stream = io.StringIO()
    key = "pk_test_" + "k" * 43
    make_console(stream).print(summary_box("turnout", [("publishable key", key), ("x", "y")]))
    assert key in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("width", [20, 400])
def test_no_cell_of_a_list_is_cut_short(width: int) -> None:
    """Ids are pasted from lists, so a narrow terminal folds lines instead of shortening cells."""
    table = list_table(["advice", "age"], right=["age"])
    table.add_row("att_" + "x" * 22, "3 h 12 min")
    stream = io.StringIO()
    console = make_console(stream)
    console.width = width
    print_whole(console, table)
    title, _, row = stream.getvalue().splitlines()
    assert title.endswith("age")
    assert row.split(maxsplit=1) == ["att_" + "x" * 22, "3 h 12 min"]
