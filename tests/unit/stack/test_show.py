"""Payments as people read them."""

from __future__ import annotations

import io

import pytest

from stack.payments import Payment
from stack.show import make_console, summary_box, timeline_lines
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
        pytest.param(
            payments.silent(), "no answer that decides it: the outcome is unknown", id="silent"
        ),
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


def test_long_values_are_not_cut_where_no_terminal_is() -> None:
    """A key in the box can be copied whole, and no color codes surround it."""
    stream = io.StringIO()
    key = "pk_test_" + "k" * 43
    make_console(stream).print(summary_box("turnout", [("publishable key", key), ("x", "y")]))
    assert key in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
