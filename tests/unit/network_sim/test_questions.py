"""Inquiries and reconciliation."""

from __future__ import annotations

import pytest

from chassis.settings.tree import Network, Simulator
from network_sim.decisions import Decision, Moment, Ruling
from network_sim.issuer import Issuer
from network_sim.journal import NEVER_MS
from network_sim.service import make_issuer
from switch.iso8583 import Dialect
from tests.support.network import authorization, capture, inquiry, reversal, sale
from tests.support.network_host import OPENS_ON

AT_US = 1_795_331_402_000_000
NOW = Moment.at(AT_US)
SILENT_APPROVAL, SILENT, LATE = "4000000000006801", "4000000000007809", "4000000000008807"


@pytest.fixture
def issuer(dialect: Dialect) -> Issuer:
    """An issuer that has decided nothing."""
    return make_issuer(Network(bins=("4",)), Simulator(), dialect, opens_on=OPENS_ON)


def _ask(issuer: Issuer, about: dict[int, str], at: Moment = NOW) -> Decision:
    return issuer.decide(inquiry(about, {11: "000900"}), at)


@pytest.mark.parametrize(
    ("pan", "told"),
    [
        ("4242424242424242", "00321000" + "000000002499" + "0"),
        (SILENT_APPROVAL, "00321000" + "000000002499" + "0"),
        ("4000000000009995", "51      " + "000000000000" + "0"),
    ],
)
def test_a_decided_message_is_found(issuer: Issuer, pan: str, told: str) -> None:
    """00, and DE 62 with what was decided, also where the answer was withheld."""
    fields = sale({2: pan})
    issuer.decide(fields, NOW)
    decision = _ask(issuer, fields)
    assert (decision.answer[0], decision.answer[39], decision.answer[62]) == ("0610", "00", told)
    assert (decision.delay_ms, decision.line) == (0, "")


def test_an_inquiry_tells_that_a_message_was_reversed(issuer: Issuer) -> None:
    """The last digit of DE 62."""
    fields = sale()
    issuer.decide(fields, NOW)
    issuer.decide(reversal(fields, {11: "000200"}), NOW)
    assert _ask(issuer, fields).answer[62][-1] == "1"


def test_an_inquiry_tells_the_amount_of_a_partial_approval(issuer: Issuer) -> None:
    """10 and what was approved; the inquiry names what was asked for."""
    fields = sale()
    issuer.decide(fields, NOW, Ruling("10", approved=600))
    assert _ask(issuer, fields).answer[62] == "10321000" + "000000000600" + "0"


def test_an_inquiry_asks_about_captures_and_refunds_too(issuer: Issuer) -> None:
    """Whatever was decided can be asked for."""
    held = authorization()
    taken = capture(held, {11: "000200"})
    issuer.decide(held, NOW)
    issuer.decide(taken, NOW)
    told = "00002000" + "000000002499" + "0"
    assert issuer.decide(inquiry(taken, {11: "000900"}), NOW).answer[62] == told


def test_a_message_that_never_came_is_not_found(issuer: Issuer) -> None:
    """25, which an acquirer must not take for a decline: the message may still be under way."""
    assert _ask(issuer, sale()).answer[39] == "25"
    assert issuer.decide(sale(), NOW).answer[39] == "00"


def test_a_message_that_only_its_reversal_named_is_not_found(issuer: Issuer) -> None:
    """It never came."""
    issuer.decide(reversal(sale(), {11: "000200"}), NOW)
    assert _ask(issuer, sale()).answer[39] == "25"


@pytest.mark.parametrize(
    "change",
    [
        {2: "4000000000000259"},
        {4: "000000002500"},
        {49: "978"},
        {37: "OTHER0000001"},
        {42: "MERCHANT0000002"},
        {90: "0100" + "000123" + "1122071002" + "0" * 22},
        {90: "0200" + "000124" + "1122071002" + "0" * 22},
    ],
)
def test_an_inquiry_about_something_else_finds_nothing(
    issuer: Issuer, change: dict[int, str | None]
) -> None:
    """Card, amount, currency, payment, merchant, type and number must all be the message's."""
    issuer.decide(sale(), NOW)
    decision = issuer.decide(inquiry(sale(), {11: "000900", **change}), NOW)
    assert decision.answer[39] == "25"


@pytest.mark.parametrize(("after_ms", "code"), [(0, "09"), (2_749, "09"), (2_750, "00")])
def test_an_answer_under_way_is_in_progress(issuer: Issuer, after_ms: int, code: str) -> None:
    """Until the late answer has left."""
    fields = sale({2: LATE})
    issuer.decide(fields, NOW)
    assert _ask(issuer, fields, Moment.at(AT_US + after_ms * 1_000)).answer[39] == code


def test_an_answer_that_a_script_holds_back_is_in_progress(issuer: Issuer) -> None:
    """The issuer is told how long."""
    issuer.decide(sale(), NOW, Ruling(under_way_ms=500))
    assert _ask(issuer, sale()).answer[39] == "09"
    assert _ask(issuer, sale(), Moment.at(AT_US + 500_000)).answer[39] == "00"


def test_a_silent_card_is_silent_to_inquiries_and_not_to_reversals(issuer: Issuer) -> None:
    """It ends reversed, and nobody learns what the issuer had decided."""
    fields = sale({2: SILENT})
    issuer.decide(fields, NOW)
    assert _ask(issuer, fields).delay_ms == NEVER_MS
    void = issuer.decide(reversal(fields, {11: "000200"}), NOW)
    assert (void.answer[39], void.delay_ms) == ("00", 0)


@pytest.mark.parametrize("code", ["91", "96", "09"])
def test_a_script_can_answer_an_inquiry(issuer: Issuer, code: str) -> None:
    """Without DE 62: it says nothing of the message."""
    issuer.decide(sale(), NOW)
    decision = issuer.decide(inquiry(sale(), {11: "000900"}), NOW, Ruling(code))
    assert (decision.answer[39], 62 in decision.answer) == (code, False)


def test_an_incomplete_inquiry_is_a_format_error(issuer: Issuer) -> None:
    """Without DE 90 nobody knows what is asked."""
    fields = inquiry(sale(), {11: "000900"})
    del fields[90]
    assert issuer.decide(fields, NOW).answer[39] == "30"


def _reconciliation(mti: str = "0500", **changes: str) -> dict[int, str]:
    fields = {0: mti, 7: "1122230000", 11: "000950", 15: "1122", 32: "400001", 50: "840", 66: "0"}
    fields |= dict.fromkeys(range(74, 78), f"{0:010d}")
    fields |= dict.fromkeys(range(86, 90), f"{0:016d}")
    fields |= {76: f"{1:010d}", 88: f"{2499:016d}", 97: f"C{2499:016d}"}
    return fields | {int(number): text for number, text in changes.items()}


@pytest.mark.parametrize(("mti", "answer"), [("0500", "0510"), ("0520", "0530")])
def test_equal_totals_are_in_balance(issuer: Issuer, mti: str, answer: str) -> None:
    """DE 66 = 1, and the network's own totals come back."""
    issuer.decide(sale(), NOW)
    decision = issuer.decide(_reconciliation(mti), NOW)
    assert (decision.answer[0], decision.answer[39], decision.answer[66]) == (answer, "00", "1")
    assert decision.answer[88] == f"{2499:016d}"
    assert decision.line == ""


@pytest.mark.parametrize(
    "change", [{"88": f"{2500:016d}"}, {"76": f"{2:010d}"}, {"15": "1121"}, {"50": "978"}]
)
def test_other_totals_are_out_of_balance(issuer: Issuer, change: dict[str, str]) -> None:
    """DE 66 = 2 with the network's own; funding is another matter, so DE 39 stays 00."""
    issuer.decide(sale(), NOW)
    answer = issuer.decide(_reconciliation(**change), NOW).answer
    assert (answer[39], answer[66]) == ("00", "2")
    expected = 0 if {"15", "50"} & change.keys() else 2499
    assert answer[88] == f"{expected:016d}"


def test_totals_are_an_acquirers_own(issuer: Issuer) -> None:
    """What another acquirer moved is not in them."""
    issuer.decide(sale(), NOW)
    issuer.decide(sale({11: "000124", 32: "400002"}), NOW)
    assert issuer.decide(_reconciliation(), NOW).answer[66] == "1"
