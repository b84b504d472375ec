"""What answers, silence and failures say about messages that are no charges."""

from __future__ import annotations

from typing import Any

import pytest

from switch.core.findings import (
    Finding,
    judge_advice,
    judge_inquiry,
    judge_request,
    not_sent,
    unknown,
)
from switch.core.operations.answers import is_in_progress, judge_of, needs_decision, spoiled
from switch.core.operations.records import Letter
from switch.iso8583.errors import DecodeError, EncodeError, Reason
from tests.support.operations import APPROVED, DECLINED, NOT_NOW, NOTHING_FOUND, POISON, SILENCE

WAITING = Finding("unknown", "undecided", "09")


def letter(kind: str = "request", mti: str = "0200") -> Letter:
    """A message of this kind; nothing else of it matters here."""
    fields: dict[str, Any] = {
        "attempt_id": bytes(16),
        "charge_id": bytes(16),
        "kind": kind,
        "mti": mti,
        "network": "msim",
        "acquirer_id": "500001",
        "stan": "000001",
        "rrn": "0ABCDEFGHIJK",
        "de7": "0102030405",
        "amount_minor": 100,
        "currency": "usd",
        "original": None,
        "refunding": False,
        "remaining_minor": None,
    }
    return Letter(**fields)


@pytest.mark.parametrize(
    ("kind", "mti", "judge"),
    [
        ("request", "0200", judge_request),
        ("request", "0220", judge_advice),
        ("request", "0400", judge_advice),
        ("reversal", "0420", judge_advice),
        ("reversal", "0400", judge_advice),
        ("release", "0420", judge_advice),
        ("inquiry", "0600", judge_inquiry),
        ("inquiry", "0200", judge_inquiry),
    ],
)
def test_each_kind_of_message_has_its_judge(kind: str, mti: str, judge: Any) -> None:
    """A refund may be declined, a fact may not, and a question is about something else."""
    assert judge_of(letter(kind, mti)) is judge


@pytest.mark.parametrize(
    ("mti", "finding", "expected"),
    [
        ("0200", WAITING, True),
        ("0220", WAITING, False),
        ("0400", WAITING, False),
        ("0600", WAITING, False),
        ("0200", Finding("unknown", "undecided", "68"), False),
        ("0200", Finding("unknown", "echo_mismatch", "09"), False),
        ("0200", APPROVED, False),
        ("0200", SILENCE, False),
    ],
)
def test_only_a_request_is_waited_for_and_only_by_its_own_09(
    mti: str, finding: Finding, expected: Any
) -> None:
    """Anything else has been answered, or is repeated or asked about."""
    assert is_in_progress(letter(mti=mti), finding) is expected


@pytest.mark.parametrize(
    "error", [EncodeError(43, 0, Reason.TOO_LONG), DecodeError(2, 0, Reason.TOO_SHORT)]
)
def test_an_advice_that_the_dialect_cannot_express_is_poison(error: Exception) -> None:
    """It would fail at each repeat, for ever; a request of the same kind has not been sent."""
    assert spoiled(error, forwarded=True) == Finding("poison", "encode_failed")
    assert spoiled(error, forwarded=False) == not_sent("encode_failed")


@pytest.mark.parametrize("forwarded", [True, False])
def test_any_other_fault_may_pass(forwarded: Any) -> None:
    """Such as a MAC key that is missing: nothing is put aside for it."""
    assert spoiled(KeyError("gone"), forwarded=forwarded) == not_sent("encode_failed")


@pytest.mark.parametrize("finding", [SILENCE, unknown("link_lost"), not_sent("no_link"), NOT_NOW])
def test_silence_is_told_unless_the_queue_repeats_the_message(finding: Finding) -> None:
    """About a request always: somebody may wait, and a doubt begins with it."""
    for kind, mti in (("reversal", "0420"), ("release", "0420")):
        assert not needs_decision(letter(kind, mti), finding, forwarded=True)
    assert needs_decision(letter("request", "0220"), finding, forwarded=True)
    assert needs_decision(letter("request", "0200"), finding, forwarded=False)
    assert needs_decision(letter("inquiry", "0600"), finding, forwarded=False)


@pytest.mark.parametrize("finding", [APPROVED, DECLINED, NOTHING_FOUND, POISON])
@pytest.mark.parametrize("forwarded", [True, False])
def test_an_answer_is_always_told(finding: Finding, forwarded: Any) -> None:
    """Whoever repeats the message."""
    for kind in ("request", "reversal", "release", "inquiry"):
        assert needs_decision(letter(kind), finding, forwarded=forwarded)
