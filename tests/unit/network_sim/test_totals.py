"""Counts and sums of a settlement date."""

from __future__ import annotations

import pytest

from network_sim.totals import Totals


def _totals() -> Totals:
    totals = Totals()
    for posted in (1000, 2000, -300):
        totals.add(posted)
    for posted in (-1000, 300):
        totals.add_reversal(posted)
    return totals


def test_each_kind_counts_by_itself() -> None:
    """What goes out, what comes back, and the reversals of each."""
    totals = _totals()
    assert (totals.debits, totals.debits_amount) == (2, 3000)
    assert (totals.debit_reversals, totals.debit_reversals_amount) == (1, 1000)
    assert (totals.credits, totals.credits_amount) == (1, 300)
    assert (totals.credit_reversals, totals.credit_reversals_amount) == (1, 300)
    assert totals.net == 2000


def test_totals_stand_in_their_elements() -> None:
    """DE 74 to 77 count, 86 to 89 sum, 97 is what the network owes."""
    assert _totals().elements() == {
        74: "0000000001",
        75: "0000000001",
        76: "0000000002",
        77: "0000000001",
        86: "0000000000000300",
        87: "0000000000000300",
        88: "0000000000003000",
        89: "0000000000001000",
        97: "C0000000000002000",
    }


def test_a_net_that_the_acquirer_owes_is_a_debit() -> None:
    """More refunds than sales."""
    totals = Totals()
    totals.add(-300)
    assert totals.elements()[97] == "D0000000000000300"


@pytest.mark.parametrize("number", [74, 75, 76, 77, 86, 87, 88, 89, 97])
def test_any_difference_is_one(number: int) -> None:
    """Equal in all, or out of balance."""
    told = _totals().elements()
    assert _totals().agrees_with(told)
    told[number] = told[number][:-1] + "9"
    assert not _totals().agrees_with(told)
    del told[number]
    assert not _totals().agrees_with(told)
