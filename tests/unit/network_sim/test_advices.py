"""Captures and reversals: what each does to the hold, the totals and the record."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.settings.tree import Network, Simulator
from network_sim.decisions import Decision, Moment
from network_sim.issuer import Issuer
from network_sim.journal import Entry
from network_sim.service import make_issuer
from switch.iso8583 import Dialect, load_dialect
from tests.support.network import authorization, capture, remaining, reversal, sale
from tests.support.network_host import OPENS_ON

NOW = Moment.at(1_795_331_402_000_000)
AUTHORIZED = authorization({4: "000000001000"})
DIALECT = load_dialect("net87b")


@pytest.fixture
def issuer(dialect: Dialect) -> Issuer:
    """An issuer that holds 10.00 for an authorization."""
    issuer = _issuer(dialect)
    issuer.decide(AUTHORIZED, NOW)
    return issuer


def _issuer(dialect: Dialect) -> Issuer:
    return make_issuer(Network(bins=("4",)), Simulator(), dialect, opens_on=OPENS_ON)


def _take(issuer: Issuer, amount: int, stan: str = "000200", **changes: str) -> Decision:
    return issuer.decide(capture(AUTHORIZED, {11: stan, 4: f"{amount:012d}"}), NOW)


def _release(issuer: Issuer, stays: int, stan: str = "000300") -> Decision:
    return issuer.decide(reversal(AUTHORIZED, {11: stan, 95: remaining(stays)}), NOW)


def _changes(decision: Decision) -> tuple[str, int, int]:
    entry = Entry.parse(decision.line.removesuffix("\n"))
    return decision.answer[39], entry.held_change, entry.posted_change


def _held(issuer: Issuer) -> tuple[int, int]:
    hold = issuer.hold(AUTHORIZED[32], AUTHORIZED[37], AUTHORIZED[42])
    assert hold is not None
    return hold.held, hold.captured


def test_captures_take_from_the_hold(issuer: Issuer) -> None:
    """In parts, until nothing is left; each is on the network's totals."""
    assert _changes(_take(issuer, 400, "000200")) == ("00", -400, 400)
    assert _changes(_take(issuer, 600, "000201")) == ("00", -600, 600)
    assert _held(issuer) == (0, 1000)
    totals = issuer.totals("400001", "840", "2026-11-22")
    assert (totals.debits, totals.debits_amount) == (2, 1000)


def test_a_repeated_capture_has_one_effect(issuer: Issuer) -> None:
    """0221 after an acknowledged 0220: the same answer, the hold untouched."""
    first = _take(issuer, 400)
    repeat = capture(AUTHORIZED, {0: "0221", 11: "000200", 4: "000000000400"})
    again = issuer.decide(repeat, NOW)
    assert (again.answer, again.line) == (first.answer, "")
    assert _held(issuer) == (600, 400)


@pytest.mark.parametrize("amount", [0, 1001])
def test_more_than_is_held_is_not_captured(issuer: Issuer, amount: int) -> None:
    """Nor is nothing; the refusal is recorded and the hold stays."""
    assert _changes(_take(issuer, amount)) == ("13", 0, 0)
    assert _held(issuer) == (1000, 0)


@pytest.mark.parametrize("change", [{2: "4000000000009995"}, {49: "978"}])
def test_a_capture_is_for_the_card_and_currency_of_its_hold(
    issuer: Issuer, change: dict[int, str | None]
) -> None:
    """Another card's money is not there to be taken."""
    decision = issuer.decide(capture(AUTHORIZED, {11: "000200", **change}), NOW)
    assert _changes(decision) == ("12", 0, 0)


def test_a_capture_without_an_authorization_finds_nothing(issuer: Issuer) -> None:
    """25, for another payment's number."""
    decision = issuer.decide(capture(AUTHORIZED, {11: "000200", 37: "OTHER0000001"}), NOW)
    assert _changes(decision) == ("25", 0, 0)


@pytest.mark.parametrize("mti", ["0400", "0420"])
def test_a_reversal_releases_the_hold_and_closes_it(issuer: Issuer, mti: str) -> None:
    """A capture of a reversed authorization is refused."""
    void = issuer.decide(reversal(AUTHORIZED, {0: mti, 11: "000300"}), NOW)
    assert _changes(void) == ("00", -1000, 0)
    assert void.answer[15] == "1122"
    assert _changes(_take(issuer, 400)) == ("12", 0, 0)
    assert _held(issuer) == (0, 0)


def test_what_was_captured_is_not_released(issuer: Issuer) -> None:
    """A whole reversal after a capture is refused; the money would have to be refunded."""
    _take(issuer, 400)
    void = issuer.decide(reversal(AUTHORIZED, {11: "000300"}), NOW)
    assert _changes(void) == ("12", 0, 0)
    assert _held(issuer) == (600, 400)


def test_a_part_is_released_and_the_rest_can_be_captured(issuer: Issuer) -> None:
    """DE 95 says how much stays."""
    assert _changes(_release(issuer, 400)) == ("00", -600, 0)
    assert _held(issuer) == (400, 0)
    assert _changes(_take(issuer, 400)) == ("00", -400, 400)


def test_what_stays_includes_what_was_captured(issuer: Issuer) -> None:
    """The release after a final capture names the sum of the captures."""
    _take(issuer, 300, "000200")
    _take(issuer, 200, "000201")
    assert _changes(_release(issuer, 500)) == ("00", -500, 0)
    assert _held(issuer) == (0, 500)


@pytest.mark.parametrize("stays", [299, 1001])
def test_no_other_amount_can_stay(issuer: Issuer, stays: int) -> None:
    """Less than was captured, or more than was authorized."""
    _take(issuer, 300)
    assert _changes(_release(issuer, stays)) == ("12", 0, 0)
    assert _held(issuer) == (700, 300)


def test_all_of_it_may_stay(issuer: Issuer) -> None:
    """Releasing nothing is no error."""
    assert _changes(_release(issuer, 1000)) == ("00", 0, 0)


@pytest.mark.parametrize("stays", [0, 400])
def test_a_second_reversal_finds_nothing_to_do(issuer: Issuer, stays: int) -> None:
    """Under a number of its own it is answered 21, and nothing is released twice."""
    issuer.decide(reversal(AUTHORIZED, {0: "0400", 11: "000300"}), NOW)
    assert _changes(_release(issuer, stays, "000301")) == ("21", 0, 0)


def test_a_declined_message_needs_no_reversal(issuer: Issuer) -> None:
    """21: it moved nothing."""
    declined = sale({2: "4000000000000002", 11: "000400"})
    issuer.decide(declined, NOW)
    assert _changes(issuer.decide(reversal(declined, {11: "000401"}), NOW)) == ("21", 0, 0)


@pytest.mark.parametrize(("processing_code", "posted"), [("000000", -1000), ("200000", 1000)])
def test_a_reversed_sale_or_refund_goes_back(
    issuer: Issuer, processing_code: str, posted: int
) -> None:
    """Counted as a reversal of its kind, beside the message itself."""
    original = sale({3: processing_code, 4: "000000001000", 11: "000400"})
    issuer.decide(original, NOW)
    void = reversal(original, {11: "000401"})
    assert _changes(issuer.decide(void, NOW)) == ("00", 0, posted)
    assert issuer.decide(reversal(original, {11: "000402"}), NOW).answer[39] == "21"
    totals = issuer.totals("400001", "840", "2026-11-22")
    assert (totals.debits + totals.credits, totals.net) == (1, 0)


def test_a_part_of_a_sale_goes_back(issuer: Issuer) -> None:
    """What stays is posted; the rest can go back later."""
    original = sale({4: "000000001000", 11: "000400"})
    issuer.decide(original, NOW)
    part = reversal(original, {11: "000401", 95: remaining(400)})
    assert _changes(issuer.decide(part, NOW)) == ("00", 0, -600)
    rest = reversal(original, {11: "000402"})
    assert _changes(issuer.decide(rest, NOW)) == ("00", 0, -400)


@pytest.mark.parametrize("change", [{49: "978"}, {95: remaining(1001)}])
def test_a_sale_goes_back_in_its_own_currency_and_amount(
    issuer: Issuer, change: dict[int, str | None]
) -> None:
    """12, and nothing moves."""
    original = sale({4: "000000001000", 11: "000400"})
    issuer.decide(original, NOW)
    assert _changes(issuer.decide(reversal(original, {11: "000401", **change}), NOW)) == (
        "12",
        0,
        0,
    )


def test_a_reversed_capture_returns_to_the_hold(issuer: Issuer) -> None:
    """It can be captured again."""
    taken = capture(AUTHORIZED, {11: "000200", 4: "000000000400"})
    issuer.decide(taken, NOW)
    assert _changes(issuer.decide(reversal(taken, {11: "000401"}), NOW)) == ("00", 400, -400)
    assert _held(issuer) == (1000, 0)


def test_a_capture_that_its_reversal_overtook_is_refused(issuer: Issuer) -> None:
    """Whichever comes first, nothing is posted."""
    taken = capture(AUTHORIZED, {11: "000200", 4: "000000000400"})
    assert _changes(issuer.decide(reversal(taken, {11: "000401"}), NOW)) == ("25", 0, 0)
    assert _changes(issuer.decide(taken, NOW)) == ("12", 0, 0)


def test_a_part_of_what_never_came_marks_nothing(issuer: Issuer) -> None:
    """25, and the sale, when it comes, is decided on its own merit."""
    late = sale({11: "000400"})
    part = reversal(late, {11: "000401", 95: remaining(400)})
    assert _changes(issuer.decide(part, NOW)) == ("25", 0, 0)
    assert issuer.decide(late, NOW).answer[39] == "00"


def test_a_forgotten_authorization_is_reversed_by_its_hold(dialect: Dialect) -> None:
    """Messages are remembered for a while, holds for longer."""
    issuer = make_issuer(
        Network(bins=("4",)), Simulator(remembered_max=1), dialect, opens_on=OPENS_ON
    )
    issuer.decide(AUTHORIZED, NOW)
    issuer.decide(sale({11: "000124", 37: "OTHER0000001"}), NOW)
    stranger = {**AUTHORIZED, 11: "000999"}
    assert issuer.decide(reversal(stranger, {11: "000301"}), NOW).answer[39] == "25"
    assert _changes(issuer.decide(reversal(AUTHORIZED, {11: "000300"}), NOW)) == ("00", -1000, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["capture", "release", "void", "unpost"]), st.integers(0, 1200)),
        max_size=12,
    )
)
def test_the_sum_is_kept_whatever_comes(steps: list[tuple[str, int]]) -> None:
    """Held and captured are the record's sums, never negative, never more than was authorized."""
    issuer = _issuer(DIALECT)
    lines = [issuer.decide(AUTHORIZED, NOW).line]
    captures: list[dict[int, str]] = []
    for number, (step, amount) in enumerate(steps):
        stan = f"{500 + number:06d}"
        if step == "capture":
            fields = capture(AUTHORIZED, {11: stan, 4: f"{amount:012d}"})
            captures.append(fields)
        elif step == "unpost" and captures:
            fields = reversal(captures[amount % len(captures)], {11: stan})
        else:
            fields = reversal(AUTHORIZED, {11: stan})
            if step == "release":
                fields[95] = remaining(amount)
        lines.append(issuer.decide(fields, NOW).line)
    entries = [Entry.parse(line.removesuffix("\n")) for line in lines]
    held, captured = _held(issuer)
    assert held == sum(entry.held_change for entry in entries)
    assert captured == sum(entry.posted_change for entry in entries)
    assert held >= 0
    assert captured >= 0
    assert held + captured <= 1000
    successor = _issuer(DIALECT)
    successor.restore(entries)
    assert _held(successor) == (held, captured)
