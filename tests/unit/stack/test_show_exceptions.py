"""Exceptions as people see them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ledger.exceptions import ExceptionDetail
from ledger.operators import OperatorAction
from stack import show_exceptions
from stack.exceptions import detail_document, exception_document
from tests.unit.stack.test_exceptions import AT_US, CLOSED, DETAIL, ROW, STRAY

AGAIN = "turnout exceptions list --all"


def _listed(capsys: pytest.CaptureFixture[str], document: dict[str, Any]) -> str:
    show_exceptions.listed(document, again=AGAIN)
    return capsys.readouterr().out


def _shown(capsys: pytest.CaptureFixture[str], detail: ExceptionDetail) -> str:
    show_exceptions.shown(detail_document(detail))
    return capsys.readouterr().out


def test_none_open_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of an empty table."""
    assert _listed(capsys, {"counts": [], "exceptions": [], "more": False}) == "open: none\n"


@pytest.mark.parametrize("more", [False, True])
def test_exceptions_are_a_table(capsys: pytest.CaptureFixture[str], *, more: bool) -> None:
    """How many of each kind, then a line each; a page that is not the last says how to go on."""
    document = {
        "counts": [{"kind": "advice_rejected", "open": 1}, {"kind": "late_approval", "open": 2}],
        "exceptions": [exception_document(row) for row in (ROW, replace(CLOSED, number=9))],
        "more": more,
    }
    said = _listed(capsys, document)
    assert said.startswith("open: 1 advice_rejected, 2 late_approval\n")
    first, second = [line.rstrip() for line in said.splitlines() if "vsim" in line]
    assert first.endswith("open")
    assert second.endswith("closed")
    assert document["exceptions"][0]["intent"] in first
    assert (f"{AGAIN} --above 9" in said) is more


def test_an_open_one_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers to ask by, the advice that is still owed, and how to close it."""
    said = _shown(capsys, DETAIL)
    assert "RRN 00253HVJ6Z4C, STAN 000123, DE 7 0102030405" in said
    assert "call the network, then retry or resolve the advice" in said
    assert "DE 39" in said
    assert said.count("00253HVJ6Z4C") == 1
    advice = detail_document(DETAIL)["advices"][0]["advice"]
    assert f"turnout saf show {advice}" in said
    assert "sent 3 times, waits for an operator" in said
    assert "turnout exceptions close 7 --note …" in said


def test_what_belongs_to_no_payment_shows_the_network_s_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There is no message of ours: all that is known came with the answer."""
    said = _shown(capsys, ExceptionDetail(STRAY, None, [], []))
    lines = [line.split()[1:-1] for line in said.splitlines() if "DE " in line or "RRN" in line]
    told = [["DE", "4", "000000002499"], ["RRN", "0ZZZZZZZZZZZ"], ["DE", "38", "321000"]]
    assert [line for line in lines if line in told] == told
    assert "pi_" not in said


def test_a_closed_one_says_by_whom_and_leaves_nothing_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its history stays."""
    action = OperatorAction(AT_US, "ada", "exception_close", "", "J. says it is gone")
    said = _shown(capsys, replace(DETAIL, row=CLOSED, actions=[action]))
    assert "by ada: J. says it is gone" in said
    assert "ada: exception_close" in said
    assert "turnout" not in said
