"""What an exception means, and how it is shown to programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.exceptions import ExceptionAdvice, ExceptionDetail, ExceptionMessage, ExceptionRow
from ledger.operators import OperatorAction
from ledger.postings import checker
from ledger.stream.attempt_monitor import KIND as UNFINISHED
from stack.exceptions import KINDS, UNKNOWN_KIND, advice_state, detail_document, exception_document
from switch.totals import KIND as OUT_OF_BALANCE

ROOT = Path(__file__).parents[3]
AT_US = 1_767_323_045_123_456
AT = "2026-01-02T03:04:05.123456+00:00"
ROW = ExceptionRow(
    number=7,
    kind="advice_rejected",
    network="vsim",
    intent_id=bytes(range(2, 18)),
    transaction_id=bytes(range(1, 17)),
    attempt_id=bytes(range(16)),
    detail={"rrn": "00253HVJ6Z4C", "response_code": "30", "mti": "0420"},
    opened_at_us=AT_US,
    closed_at_us=None,
    closed_by=None,
    note="",
)
STRAY = replace(
    ROW,
    number=8,
    kind="approval_without_attempt",
    intent_id=None,
    transaction_id=None,
    attempt_id=None,
    detail={"rrn": "0ZZZZZZZZZZZ", "amount": "000000002499", "approval_code": "321000"},
)
CLOSED = replace(ROW, closed_at_us=AT_US, closed_by="ada", note="J. says it is gone")
MESSAGE = ExceptionMessage(
    "reversal", "0420", "400001", "000123", "00253HVJ6Z4C", "0102030405", 2499, "usd"
)
DETAIL = ExceptionDetail(
    ROW, MESSAGE, [ExceptionAdvice(bytes(range(16)), "reversal", 3, True, "")], []
)


def test_every_kind_that_is_opened_is_explained() -> None:
    """What happened and what to do, for the command and on the page for operators."""
    opens = re.compile(r"(?:exception|NewException)\(\s*(?:self\.runner,\s*)?\"([a-z_]+)\"")
    opened = {OUT_OF_BALANCE, UNFINISHED, checker.KIND, checker.UNBOOKED, checker.UNBALANCED}
    for path in [*(ROOT / "switch").rglob("*.py"), *(ROOT / "ledger" / "relay").glob("*.py")]:
        opened |= set(opens.findall(path.read_text()))
    assert opened == set(KINDS)
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [kind for kind in KINDS if f"| `{kind}` |" not in page] == []


def test_an_exception_is_a_document() -> None:
    """Public ids, snake case, RFC 3339; what is not known is null."""
    document = exception_document(ROW)
    assert json.loads(json.dumps(document)) == document
    assert (document["exception"], document["opened_at"]) == (7, AT)
    assert document["intent"].startswith("pi_")
    assert document["transaction"].startswith("txn_")
    assert document["attempt"].startswith("att_")
    assert (document["closed_at"], document["closed_by"], document["note"]) == (None, None, None)
    stray = exception_document(STRAY)
    assert (stray["intent"], stray["transaction"], stray["attempt"]) == (None, None, None)
    closed = exception_document(CLOSED)
    assert (closed["closed_at"], closed["closed_by"]) == (AT, "ada")
    assert closed["note"] == "J. says it is gone"


def test_a_detail_has_what_helps() -> None:
    """The message's numbers, what its payment still waits for, and deeds in their order."""
    action = OperatorAction(AT_US, "ada", "exception_close", "", "J. says it is gone")
    document = detail_document(replace(DETAIL, actions=[action]))
    assert json.loads(json.dumps(document)) == document
    assert document["meaning"] == KINDS["advice_rejected"].meaning
    assert (document["message"]["stan"], document["message"]["amount_in_cents"]) == ("000123", 2499)
    [advice] = document["advices"]
    assert advice["advice"].startswith("att_")
    assert (advice["state"], advice["sends"]) == ("manual", 3)
    assert [each["operator"] for each in document["actions"]] == ["ada"]
    assert detail_document(ExceptionDetail(STRAY, None, [], []))["message"] is None


def test_a_kind_of_another_release_is_shown_all_the_same() -> None:
    """It is not explained, and not hidden."""
    document = detail_document(replace(DETAIL, row=replace(ROW, kind="odd")))
    assert (document["kind"], document["meaning"]) == ("odd", UNKNOWN_KIND.meaning)


@pytest.mark.parametrize(
    ("manual", "resolution", "state"),
    [(False, "", "waiting"), (True, "", "manual"), (False, "acknowledged", "resolved")],
)
def test_an_advice_stands_in_one_state(manual: bool, resolution: str, state: str) -> None:  # noqa: FBT001
    """A word was found out, a person is awaited, or it is repeated."""
    assert advice_state(manual=manual, resolution=resolution) == state
