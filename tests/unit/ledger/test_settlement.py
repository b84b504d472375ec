"""What an outcome brings with it, before Postgres hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.records import CompletionToRecord, OutcomeToRecord
from ledger.settlement import further_steps, settlement_day

HEAD = [b"switch", b"\x00\x00\x00\x01"]


def _row(number: int = 1, **changes: Any) -> OutcomeToRecord:
    fields: dict[str, Any] = {
        "attempt_id": number.to_bytes(16),
        "transaction_id": bytes(16),
        "intent_id": (100 + number).to_bytes(16),
        "phase": 1,
        "result": "approved",
        "from_status": "pending",
        "to_status": "succeeded",
        "intent_to": "succeeded",
        "response_code": "00",
        "approval_code": "",
        "actor": "network:vsim",
        "request_id": bytes(16),
        "at_us": 1,
    }
    return OutcomeToRecord(**fields | changes)


COMPLETION = CompletionToRecord(bytes(16), "0220", "000001", "0102030405", 5)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2000-01-01", 0),
        ("2026-11-23", 9_823),
        ("1999-12-31", -1),
        ("", None),
        ("1123", None),
        ("2026-02-29", None),
        ("2026-13-01", None),
        ("tomorrow", None),
    ],
)
def test_settlement_dates_are_days_or_nothing(text: str, day: int | None) -> None:
    """No bad DE 15 of a network raises: an outcome is worth more than its date."""
    assert settlement_day(text) == day


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"settles_on": "2026-11-23"}, []),
        ({"verify_at_us": 1, "verify_until_us": 2}, ["open_verifications"]),
        ({"phase": 2}, ["close_verifications"]),
        ({"capture_before_us": 9}, ["expire_authorizations"]),
        ({"decline_class": "hard"}, ["remember_settled_declines"]),
        ({"completion": COMPLETION}, ["record_completions"]),
        (
            {"phase": 2, "completion": COMPLETION, "capture_before_us": 9},
            ["close_verifications", "expire_authorizations", "record_completions"],
        ),
    ],
)
def test_only_what_is_brought_costs_a_statement(changes: dict[str, Any], names: list[str]) -> None:
    """A plain approval brings none."""
    steps = further_steps([_row(), _row(2, **changes)], HEAD)
    assert [query.name for query, _ in steps] == names
    for query, params in steps:
        assert all(f"${n}" in query.sql for n in range(1, len(params) + 1)), query.name
        assert f"${len(params) + 1}" not in query.sql
