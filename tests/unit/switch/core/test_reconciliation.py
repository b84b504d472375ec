"""0500: what we say of a day, and what its answer says."""

from __future__ import annotations

import pytest

from ledger.rows import NetworkTotals, Total
from network_sim.totals import Totals
from switch.core.reconciliation import FIGURES, Comparison, Fields, compare, totals_request
from switch.iso8583 import load_dialect

TOTALS = NetworkTotals(
    sales=Total(3, 6_000),
    captures=Total(2, 1_500),
    refunds=Total(1, 500),
    sale_reversals=Total(1, 2_000),
    refund_reversals=Total(1, 100),
)


def _sent(totals: NetworkTotals = TOTALS) -> Fields:
    return totals_request(
        totals,
        settles_on="2026-11-22",
        currency="usd",
        acquirer_id="400001",
        stan="000007",
        de7="1123000100",
    )


def _answer(**changes: str) -> Fields:
    fields = _sent() | {0: "0510", 39: "00", 66: "1"}
    fields |= {int(name[2:]): value for name, value in changes.items()}
    return {number: value for number, value in fields.items() if value}


def test_a_day_in_figures() -> None:
    """Debits and credits on their own, reversals beside them, the net with its sign."""
    sent = _sent()
    assert (sent[0], sent[15], sent[50], sent[66]) == ("0500", "1122", "840", "0")
    assert {name: int(sent[number].lstrip("CD")) for number, name in FIGURES.items()} == {
        "debits": 5,
        "debits_amount": 7_500,
        "debit_reversals": 1,
        "debit_reversals_amount": 2_000,
        "credits": 1,
        "credits_amount": 500,
        "credit_reversals": 1,
        "credit_reversals_amount": 100,
        "net": 5_100,
    }
    assert sent[97].startswith("C")


@pytest.mark.parametrize("name", ["net87b", "vip", "cis"])
def test_every_dialect_can_say_it(name: str) -> None:
    """With nothing missing that the message cannot do without."""
    dialect = load_dialect(name)
    sent = _sent(NetworkTotals(refunds=Total(1, 5)))
    assert sent[97] == "D0000000000000005"
    assert dialect.missing(sent) == []
    assert dialect.decode(dialect.encode(sent)) == sent


def test_the_simulated_network_has_the_same_figures() -> None:
    """Two ends that were written apart count alike."""
    theirs = Totals()
    for posted in (1_000, 2_000, 3_000, 700, 800, -500):
        theirs.add(posted)
    theirs.add_reversal(-2_000)
    theirs.add_reversal(100)
    assert theirs.agrees_with(_sent())


def test_the_same_figures_are_in_balance() -> None:
    """Said by DE 66, and seen."""
    assert compare(_sent(), _answer()) == Comparison("in_balance", {})


def test_other_figures_are_out_of_balance_whatever_is_said() -> None:
    """Both sides' figures are kept, where they differ."""
    detail = {
        "our_debits_amount": "0000000000007500",
        "their_debits_amount": "0000000000007501",
    }
    for said in ("1", "2"):
        answer = _answer(de66=said, de88="0000000000007501")
        assert compare(_sent(), answer) == Comparison("out_of_balance", detail)
    assert compare(_sent(), _answer(de66="2")) == Comparison("out_of_balance", {})
    assert compare(_sent(), _answer(de97="")).detail["their_net"] == ""


@pytest.mark.parametrize(
    "answer",
    [
        None,
        _answer(de39="91"),
        _answer(de39=""),
        _answer(de66=""),
        _answer(de66="0"),
        _answer(de15="1123"),
        _answer(de50="978"),
    ],
)
def test_what_says_nothing_is_asked_again(answer: Fields | None) -> None:
    """Silence, a refusal, no verdict, or the answer to something else."""
    assert compare(_sent(), answer) == Comparison("undecided", {})
