"""Each invariant against a good end of a case, and against one that breaks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec
import pytest

from certification.invariants import Told, Witnesses, check_all
from certification.trace import Line
from certification.witnesses import Attempt, Booked, Movement
from network_sim.journal import Entry

NUMBERS = {32: "400001", 7: "1122071002", 11: "000123", 37: "0ABCDEF12345"}
SALE = {0: "0200", 4: "000000001000", 48: "9203737", **NUMBERS}
REVERSAL = {**SALE, 0: "0420", 11: "000124", 48: "8301Y"}


def line(fields: Mapping[int, str], *, sent: bool = False, at_us: int = 2_000_000) -> Line:
    """A message on the wire, by default from the acquirer."""
    direction = "out" if sent else "in"
    return Line(at_us=at_us, at_s=0.0, direction=direction, connection=1, fields=fields)  # type: ignore[arg-type]


ATTEMPT = Attempt(
    attempt="a", intent="pi_1", transaction="txn_1", kind="request", mti="0200",
    acquirer_id="400001", stan="000123", de7="1122071002", rrn="0ABCDEF12345", amount_minor=1000,
    created_at_us=1_000_000, result="approved", resolution="", response_code="00", repeats=-1,
    manual=False, in_doubt=False,
)  # fmt: skip
UNDONE = msgspec.structs.replace(
    ATTEMPT, attempt="b", kind="reversal", mti="0420", stan="000124", result="approved"
)
MOVEMENT = Movement(
    transaction="txn_1", intent="pi_1", type="charge", status="succeeded", amount_minor=1000,
    currency="usd", response_code="00", decline_code="", advice="", intent_status="succeeded",
    capture_method="automatic", capturable_minor=0, captured_minor=1000, refunded_minor=0,
    refund_pending_minor=0,
)  # fmt: skip
ENTRY = Entry(
    1_500_000, "400001", "000123", "1122071002", "0ABCDEF12345", "SHOP", "0200", "000000",
    "000000001000", "840", "424242******4242", "00", "321000", 0, "", "2026-11-22", 0, 1000,
)  # fmt: skip
BOOKED = Booked(intent="pi_1", transaction="txn_1", kind="capture", amount_minor=1000)
TOLD = Told(intent="pi_1", transaction="txn_1", type="charge", status="succeeded", key="k")
GOOD = Witnesses(
    told=[TOLD],
    attempts=[ATTEMPT],
    movements=[MOVEMENT],
    postings=[BOOKED],
    exceptions=[],
    wire=[line(SALE), line({**SALE, 0: "0210", 39: "00"}, sent=True)],
    entries=[ENTRY],
    leaks=[],
)


def broken(**changes: Any) -> set[str]:
    """The invariants that do not hold once something is changed."""
    found = check_all(attrs.evolve(GOOD, **changes))
    return {name for name, violations in found.items() if violations}


def test_a_good_end_breaks_nothing() -> None:
    """A sale that was recorded, sent, approved and told."""
    assert broken() == set()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"wire": [line(SALE), line({**SALE, 11: "000999"})]}, {"I1"}),
        ({"attempts": [msgspec.structs.replace(ATTEMPT, created_at_us=3_000_000)]}, {"I1"}),
        ({"attempts": [msgspec.structs.replace(ATTEMPT, result="")]}, {"I2"}),
        ({"attempts": [msgspec.structs.replace(ATTEMPT, result="unknown")]}, {"I2"}),
        ({"told": [TOLD, attrs.evolve(TOLD, transaction="txn_2", status="pending")]}, {"I3"}),
        ({"told": [attrs.evolve(TOLD, status="failed")]}, {"I4"}),
        (
            {
                "attempts": [ATTEMPT, UNDONE],
                "wire": [*GOOD.wire, line({**REVERSAL, 0: "0430", 39: "00"}, sent=True)],
            },
            {"I4"},
        ),
        ({"told": [], "attempts": [ATTEMPT, UNDONE]}, {"I5"}),
        ({"entries": []}, {"I6"}),
        ({"entries": [ENTRY, msgspec.structs.replace(ENTRY, posted_change=0, held_change=5)]},
         {"I6"}),
        ({"leaks": ["a card number stands in the log"]}, {"I7"}),
        ({"attempts": [ATTEMPT, msgspec.structs.replace(ATTEMPT, attempt="c", kind="inquiry")]},
         {"I8"}),
        ({"postings": []}, {"I9"}),
        ({"postings": [BOOKED, BOOKED]}, {"I9"}),
        ({"postings": [BOOKED, msgspec.structs.replace(BOOKED, kind="hold")]}, {"I9"}),
        ({"postings": [BOOKED, msgspec.structs.replace(BOOKED, kind="refund_owed")]}, {"I9"}),
        ({"postings": [BOOKED, msgspec.structs.replace(BOOKED, kind="hold_released")]}, {"I9"}),
    ],
)  # fmt: skip
def test_each_break_is_named(changes: dict[str, Any], names: set[str]) -> None:
    """What breaks one invariant is told as that one and no other."""
    assert broken(**changes) == names


def test_a_cvc_behind_the_request_is_found() -> None:
    """A reversal with a CVC breaks I7, whatever else it breaks."""
    assert "I7" in broken(wire=[line({**REVERSAL, 48: SALE[48]})])


def test_an_open_exception_explains_a_difference() -> None:
    """Sums may differ where somebody was told."""
    assert broken(entries=[], exceptions=["late_approval"]) == set()


def test_a_manual_row_is_visible() -> None:
    """What waits for a person is not lost."""
    manual = msgspec.structs.replace(UNDONE, result="", repeats=3, manual=True)
    assert broken(told=[], attempts=[ATTEMPT, manual]) == set()
