"""Store-and-forward as people see it."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.exceptions import ExceptionRow
from ledger.operators import OperatorAction
from ledger.saf import SafDetail
from stack import show_saf
from stack.saf import detail_document, entry_document
from tests.unit.stack.test_saf import AT_US, ENTRY, entry

COUNT = {
    "network": "vsim",
    "kind": "reversal",
    "waiting": 2,
    "manual": 1,
    "oldest_at": "2026-01-02T03:04:05+00:00",
}


def _said(capsys: pytest.CaptureFixture[str], document: dict[str, Any]) -> str:
    show_saf.advice(document)
    return capsys.readouterr().out


def test_an_empty_queue_is_good_news(capsys: pytest.CaptureFixture[str]) -> None:
    """It says that nothing waits, instead of showing an empty table."""
    show_saf.queue({"counts": [], "advices": [], "more": False})
    assert capsys.readouterr().out == "nothing waits: networks have acknowledged every advice\n"


@pytest.mark.parametrize("more", [False, True])
def test_the_queue_is_a_table(capsys: pytest.CaptureFixture[str], *, more: bool) -> None:
    """Depths first, then a line each, whole: ids are there to be pasted."""
    advices = [entry_document(ENTRY), entry_document(entry("request", "0220", manual=True))]
    show_saf.queue({"counts": [COUNT], "advices": advices, "more": more})
    said = capsys.readouterr().out
    assert said.startswith(
        "vsim, reversal: 2 repeated, 1 waiting for an operator; the oldest since"
    )
    assert said.count(advices[0]["advice"]) == 2
    assert all(word in said for word in ("24.99 USD", "00253HVJ6Z4C", "capture", "operator"))
    assert ("--limit N" in said) is more


def test_an_advice_that_is_repeated_can_be_sent_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else: what is still repeated may yet be acknowledged."""
    document = detail_document(SafDetail(ENTRY, [], []))
    said = _said(capsys, document)
    assert "undoes a charge or a refund" in said
    assert "RRN 00253HVJ6Z4C, STAN 000123, DE 7 0102030405" in said
    assert f"turnout saf retry {document['advice']}" in said
    assert "turnout saf resolve" not in said
    assert "next at 2026-01-02T03:04:10" in said
    assert "next at once" in _said(capsys, document | {"due_at": None})


def test_an_advice_that_waits_for_an_operator_says_what_each_word_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With why the network rejected it, and what others have done so far."""
    opened = ExceptionRow(
        1,
        "advice_rejected",
        "vsim",
        None,
        None,
        None,
        {"response_code": "30"},
        AT_US,
        None,
        None,
        "",
    )
    done = OperatorAction(AT_US, "bob", "saf_retry", "", "they asked for it")
    waiting = entry("request", "0420", manual=True)
    document = detail_document(SafDetail(waiting, [done], [opened]))
    said = _said(capsys, document)
    assert "exception 1: advice_rejected, DE 39 = 30" in said
    assert "bob: saf_retry  they asked for it" in said
    for word, effect in (("reversed", "is canceled"), ("declined", "is authorized")):
        command = f"turnout saf resolve {document['advice']} {word} --note …"
        assert command in said
        assert effect in said[said.index(command) :].splitlines()[1]


def test_a_resolved_advice_leaves_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The switch acts on it; a second word would come too late."""
    resolved = entry("reversal", "0420", resolution="acknowledged", resolved_by="ada")
    said = _said(capsys, detail_document(SafDetail(resolved, [], [])))
    assert "resolved; switch-0 acts on it" in said
    assert "turnout saf" not in said
