"""What is in doubt, as programs and people see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.verifications import Doubt, VerificationCount
from stack import show_doubts
from stack.doubts import count_document, doubt_document

AT_US = 1_767_323_045_123_456
DOUBT = Doubt(
    attempt_id=bytes(range(16)),
    transaction_id=bytes(range(1, 17)),
    network="vsim",
    due_at_us=AT_US + 3_000_000,
    window_ends_at_us=AT_US + 30_000_000,
    inquiries=1,
    intent_id=bytes(range(2, 18)),
    owner="switch-0",
    created_at_us=AT_US,
    mti="0200",
    acquirer_id="400001",
    stan="000123",
    rrn="00253HVJ6Z4C",
    de7="0102030405",
    amount_minor=2499,
    currency="usd",
)
ASKED_OUT = replace(DOUBT, due_at_us=DOUBT.window_ends_at_us, inquiries=3)


@pytest.mark.parametrize(
    ("doubt", "known", "following"),
    [
        (DOUBT, {"vsim"}, "inquiry"),
        (ASKED_OUT, {"vsim"}, "reversal"),
        (DOUBT, {"msim"}, None),
        (ASKED_OUT, set(), None),
    ],
)
def test_a_doubt_is_a_document(doubt: Doubt, known: set[str], following: str | None) -> None:
    """With what the switch does next: nothing, where the settings do not name the network."""
    document = doubt_document(doubt, known)
    assert json.loads(json.dumps(document)) == document
    assert document["next"] == following
    assert document["attempt"].startswith("att_")
    assert document["window_ends_at"] == "2026-01-02T03:04:35.123456+00:00"
    assert (document["inquiries"], document["amount_in_cents"]) == (doubt.inquiries, 2499)


def _listed(capsys: pytest.CaptureFixture[str], document: dict[str, Any]) -> str:
    show_doubts.listed(document)
    return capsys.readouterr().out


def test_no_doubt_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of an empty table."""
    assert _listed(capsys, {"counts": [], "doubts": [], "more": False}) == "nothing is in doubt\n"


@pytest.mark.parametrize("more", [False, True])
def test_doubts_are_a_table(capsys: pytest.CaptureFixture[str], *, more: bool) -> None:
    """Counts first, then a line each; what is stuck says why."""
    document = {
        "counts": [count_document(VerificationCount("vsim", 2, AT_US))],
        "doubts": [doubt_document(DOUBT, {"vsim"}), doubt_document(DOUBT, set())],
        "more": more,
    }
    said = _listed(capsys, document)
    assert said.startswith("vsim: 2 in doubt; the oldest since 2026-01-02T03:04:05")
    moving, stuck = [line.rstrip() for line in said.splitlines() if "24.99 USD" in line]
    assert moving.endswith("inquiry")
    assert stuck.endswith("its network is not in the settings")
    assert ("--limit N" in said) is more


@pytest.mark.parametrize(
    ("doubt", "known", "says", "never"),
    [
        (DOUBT, {"vsim"}, ("asked again at 2026-01-02T03:04:08", "reversed at"), "put it back"),
        (ASKED_OUT, {"vsim"}, ("3 times", "reversed at 2026-01-02T03:04:35"), "asked again"),
        (DOUBT, set(), ("put it back", "once, by switch-0"), "reversed at"),
    ],
)
def test_one_doubt_says_what_comes_next(
    capsys: pytest.CaptureFixture[str],
    doubt: Doubt,
    known: set[str],
    says: tuple[str, ...],
    never: str,
) -> None:
    """The numbers to ask the network by, the next question, and the end."""
    show_doubts.shown(doubt_document(doubt, known))
    said = " ".join(capsys.readouterr().out.split())
    assert "RRN 00253HVJ6Z4C, STAN 000123, DE 7 0102030405" in said
    assert all(words in said for words in says)
    assert never not in said
