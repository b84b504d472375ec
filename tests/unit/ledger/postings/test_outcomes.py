"""Which records tell of money, and what they mean for it."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.ids import event_id, outcome_number
from ledger.pgtypes import INT2, INT4, INT8, TEXT, UUID
from ledger.postings import money_events as events
from ledger.postings.outcomes import Fact, Success, SuccessReader, event_of
from ledger.stream.consumer import EventRefusedError
from ledger.stream.errors import RecordError
from ledger.stream.record import descriptor_id
from tests.support.stream import descriptor, record

INTENT, ATTEMPT, TRANSACTION = b"i" * 16, b"a" * 16, b"t" * 16
COLUMNS = (
    ("intent_id", UUID),
    ("attempt_id", UUID),
    ("transaction_id", UUID),
    ("approved_minor", INT8),
    ("phase", INT2),
    ("intent_version", INT4),
    ("from_status", TEXT),
    ("to_status", TEXT),
)
OUTCOMES = descriptor("outcomes", *COLUMNS)
OTHERS = descriptor("attempts", ("intent_id", UUID), ("n", INT8), oid=16_500)
KNOWN = {descriptor_id(one): one for one in (OUTCOMES, OTHERS)}
CHARGE = Fact("charge", 1000, None, "usd", b"m" * 16, False, "automatic", "vsim")
SUCCESS = Success(INTENT, ATTEMPT, TRANSACTION, None, b"e" * 16, 5)


def outcome(
    start: str = "pending", to: str = "succeeded", approved: int | None = None, **changes: Any
) -> bytes:
    """A record of an outcome."""
    approved_cell = None if approved is None else approved.to_bytes(8)
    row = (
        INTENT,
        ATTEMPT,
        TRANSACTION,
        approved_cell,
        (1).to_bytes(2),
        (3).to_bytes(4),
        start.encode(),
        to.encode(),
    )
    fields = {"row": row, "descriptor": descriptor_id(OUTCOMES), "committed_at_us": 77}
    return record(1, **fields | changes)


def test_a_success_is_found_with_its_event() -> None:
    """By its outcome's event id, which the stream, the API and the books share."""
    found = SuccessReader().read(outcome(approved=600), KNOWN)
    event = event_id("outcomes", ATTEMPT, outcome_number(1, 3))
    assert found == Success(INTENT, ATTEMPT, TRANSACTION, 600, event, 77)


@pytest.mark.parametrize(
    ("start", "to"),
    [
        ("pending", "failed"),
        ("pending", "pending_verification"),
        ("reversing", "reversed"),
        ("succeeded", "succeeded"),
    ],
)
def test_other_outcomes_moved_no_money(start: str, to: str) -> None:
    """Nor does the acknowledgment of a message behind a success."""
    assert SuccessReader().read(outcome(start, to), KNOWN) is None


def test_other_records_are_passed_over() -> None:
    """Other tables, and what nobody of ours does to outcomes."""
    reader = SuccessReader()
    other = record(1, descriptor=descriptor_id(OTHERS))
    assert reader.read(other, KNOWN) is None
    assert reader.read(outcome(kind=b"U"), KNOWN) is None


def test_what_cannot_be_read_is_refused() -> None:
    """A record of another version, one without descriptor, one that is cut short."""
    with pytest.raises(RecordError, match="version"):
        SuccessReader().read(b"\x02" + outcome()[1:], KNOWN)
    with pytest.raises(RecordError, match="descriptor"):
        SuccessReader().read(outcome(), {})
    with pytest.raises(RecordError, match="length"):
        SuccessReader().read(outcome()[:-4], KNOWN)


@pytest.mark.parametrize(
    "columns",
    [
        [("intent_id", UUID), ("attempt_id", UUID)],
        [(name, TEXT if name == "phase" else oid) for name, oid in COLUMNS],
        [(name, INT4 if name == "to_status" else oid) for name, oid in COLUMNS],
    ],
    ids=["missing", "text for a number", "a number for text"],
)
def test_columns_that_are_not_as_they_should_be_are_refused(
    columns: list[tuple[str, int]],
) -> None:
    """Their bytes would be taken for something else."""
    table = descriptor("outcomes", *columns)
    name = descriptor_id(table)
    with pytest.raises(RecordError, match=r"outcomes\."):
        SuccessReader().read(record(1, descriptor=name), {name: table})


@pytest.mark.parametrize(
    ("changes", "approved", "expected"),
    [
        ({}, None, events.Sold(1000)),
        ({}, 600, events.Sold(600)),
        ({"capture_method": "manual"}, None, events.Authorized(1000)),
        (
            {"type": "capture", "final_capture": True, "capture_method": "manual"},
            None,
            events.Captured(1000, final=True),
        ),
        ({"type": "cancel"}, None, events.Canceled()),
        ({"type": "refund"}, None, events.Refunded(1000, 9)),
        ({"type": "verification", "amount_minor": 0}, None, None),
    ],
)
def test_what_a_success_means(
    changes: dict[str, Any], approved: int | None, expected: events.Event | None
) -> None:
    """By the transaction's type and how its intent is captured."""
    fact = Fact(**{name: getattr(CHARGE, name) for name in CHARGE.__struct_fields__} | changes)
    success = Success(INTENT, ATTEMPT, TRANSACTION, approved, b"e" * 16, 5)
    assert event_of(success, fact, available_minor=9) == expected


@pytest.mark.parametrize("type_", ["adjustment", "dispute"])
def test_types_that_nothing_makes_are_refused(type_: str) -> None:
    """They wait where people see them until there is a rule."""
    fact = Fact(type_, 1000, None, "usd", b"m" * 16, False, "automatic", "vsim")
    with pytest.raises(EventRefusedError, match=type_):
        event_of(SUCCESS, fact)
