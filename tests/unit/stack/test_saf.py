"""What an advice is for, which answers it takes, and how it is shown to programs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.deciding.records import SafRow
from ledger.exceptions import ExceptionRow
from ledger.lifecycle import SAF_KINDS, SAF_RESOLUTIONS
from ledger.operators import OperatorAction
from ledger.saf import SafDetail, SafEntry
from stack.saf import (
    PURPOSES,
    ResolutionError,
    detail_document,
    entry_document,
    purpose_of,
    resolution_of,
)

AT_US = 1_767_323_045_123_456
ROW = SafRow(
    attempt_id=bytes(range(16)),
    transaction_id=bytes(range(1, 17)),
    kind="reversal",
    network="vsim",
    due_at_us=AT_US + 5_000_000,
    repeats=3,
    intent_id=bytes(range(2, 18)),
    created_at_us=AT_US,
    owner="switch-0",
    epoch=4,
)
ENTRY = SafEntry(ROW, "0420", "400001", "000123", "00253HVJ6Z4C", "0102030405", 2499, "usd")


def entry(kind: str, mti: str, **changes: Any) -> SafEntry:
    """An advice of a kind."""
    return replace(ENTRY, mti=mti, row=replace(ROW, kind=kind, **changes))


@pytest.mark.parametrize(
    ("kind", "mti", "purpose"),
    [
        ("reversal", "0420", "reversal"),
        ("reversal", "0400", "reversal"),
        ("release", "0420", "release"),
        ("completion", "0220", "completion"),
        ("request", "0220", "capture"),
        ("request", "0420", "cancel"),
        ("request", "0400", "cancel"),
    ],
)
def test_kind_and_message_tell_what_an_advice_is_for(kind: str, mti: str, purpose: str) -> None:
    """A network's own choice of MTI for what is stored and forwarded makes no difference."""
    assert purpose_of(entry(kind, mti)) == purpose
    assert kind in SAF_KINDS
    assert purpose in PURPOSES


@pytest.mark.parametrize(
    ("kind", "mti", "word", "resolution"),
    [
        ("reversal", "0420", "reversed", "acknowledged"),
        ("request", "0420", "reversed", "acknowledged"),
        ("request", "0420", "declined", "refused"),
        ("release", "0420", "reversed", "acknowledged"),
        ("release", "0420", "declined", "refused"),
        ("request", "0220", "approved", "acknowledged"),
        ("request", "0220", "declined", "refused"),
        ("completion", "0220", "approved", "acknowledged"),
        ("completion", "0220", "declined", "refused"),
    ],
)
def test_an_operator_s_word_becomes_the_ledger_s(
    kind: str, mti: str, word: str, resolution: str
) -> None:
    """Done there is acknowledged, never to be done is refused."""
    assert resolution_of(entry(kind, mti), word) == resolution
    assert resolution in SAF_RESOLUTIONS


@pytest.mark.parametrize(
    ("kind", "mti", "word", "right"),
    [
        ("reversal", "0420", "approved", "reversed"),
        ("reversal", "0420", "declined", "reversed"),
        ("request", "0420", "approved", "reversed or declined"),
        ("release", "0420", "approved", "reversed or declined"),
        ("request", "0220", "reversed", "approved or declined"),
        ("completion", "0220", "reversed", "approved or declined"),
    ],
)
def test_a_word_that_answers_another_question_is_refused(
    kind: str, mti: str, word: str, right: str
) -> None:
    """A reversal is never given up, nothing that collects is reversed; it says what fits."""
    with pytest.raises(ResolutionError, match=f"resolved as {right}, not {word}"):
        resolution_of(entry(kind, mti), word)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "waiting"),
        ({"manual": True}, "manual"),
        ({"resolution": "acknowledged", "resolved_by": "ada"}, "resolved"),
    ],
)
def test_an_advice_is_a_document(changes: dict[str, Any], state: str) -> None:
    """Public ids, snake case, RFC 3339; the state in one word."""
    document = entry_document(entry("reversal", "0420", **changes))
    assert json.loads(json.dumps(document)) == document
    assert document["state"] == state
    assert document["advice"].startswith("att_")
    assert document["intent"].startswith("pi_")
    assert document["created_at"] == "2026-01-02T03:04:05.123456+00:00"
    assert (document["sends"], document["amount_in_cents"]) == (3, 2499)


def test_what_an_operator_made_due_is_due_at_once() -> None:
    """The ledger keeps the epoch for it, which would be read as an instant."""
    assert entry_document(entry("reversal", "0420", due_at_us=0))["due_at"] is None
    assert entry_document(ENTRY)["due_at"] == "2026-01-02T03:04:10.123456+00:00"


def test_a_detail_has_the_history_and_the_words_it_takes() -> None:
    """Exceptions and deeds in their order."""
    opened = ExceptionRow(
        7,
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
    closed = replace(opened, closed_at_us=AT_US, closed_by="ada")
    action = OperatorAction(AT_US, "ada", "saf_retry", "", "they are up again")
    document = detail_document(SafDetail(ENTRY, [action], [opened, closed]))
    assert json.loads(json.dumps(document)) == document
    assert document["resolutions"] == ["reversed"]
    assert document["actions"] == [
        {
            "at": "2026-01-02T03:04:05.123456+00:00",
            "operator": "ada",
            "action": "saf_retry",
            "resolution": None,
            "note": "they are up again",
        }
    ]
    assert [each["closed_at"] for each in document["exceptions"]] == [
        None,
        "2026-01-02T03:04:05.123456+00:00",
    ]
    assert document["exceptions"][0]["detail"] == {"response_code": "30"}
