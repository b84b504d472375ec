"""Comparing a settlement date's totals with a network: 0500 and its answer (iso8583.md 2.2). Pure.

One message per date and currency. Sales and captures are debits, refunds are credits; a reversal
counts on its own and is not taken off. DE 66 of the answer says whether the network counted the
same, and the rest of it what the network counted; both are looked at, for an answer that says "in
balance" beside other figures is not to be believed.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from ledger.money import numeric_currency
from ledger.rows import NetworkTotals
from switch.iso8583.mti import RECONCILIATION_REQUEST

Fields = dict[int, str]
Balance = Literal["in_balance", "out_of_balance", "undecided"]

APPROVED: Final = "00"
BALANCED: Final = "1"  # DE 66
OUT_OF_BALANCE: Final = "2"
_NOT_COMPARED_YET: Final = "0"
# What each figure is called, by its element.
FIGURES: Final = {
    74: "credits",
    75: "credit_reversals",
    76: "debits",
    77: "debit_reversals",
    86: "credits_amount",
    87: "credit_reversals_amount",
    88: "debits_amount",
    89: "debit_reversals_amount",
    97: "net",
}


class Comparison(Struct, frozen=True):
    """What a network said to our totals."""

    balance: Balance
    detail: dict[str, str | int]  # both sides' figures where they differ; for a person


def totals_request(
    totals: NetworkTotals,
    *,
    settles_on: str,
    currency: str,
    acquirer_id: str,
    stan: str,
    de7: str,
) -> Fields:
    """The 0500 for one date, YYYY-MM-DD, and one currency, in letters."""
    debits_minor = totals.sales.sum_minor + totals.captures.sum_minor
    net_minor = totals.net_minor
    return {
        0: RECONCILIATION_REQUEST,
        7: de7,
        11: stan,
        15: settles_on[5:7] + settles_on[8:10],
        32: acquirer_id,
        50: numeric_currency(currency),
        66: _NOT_COMPARED_YET,
        74: f"{totals.refunds.count:010d}",
        75: f"{totals.refund_reversals.count:010d}",
        76: f"{totals.sales.count + totals.captures.count:010d}",
        77: f"{totals.sale_reversals.count:010d}",
        86: f"{totals.refunds.sum_minor:016d}",
        87: f"{totals.refund_reversals.sum_minor:016d}",
        88: f"{debits_minor:016d}",
        89: f"{totals.sale_reversals.sum_minor:016d}",
        97: f"{'C' if net_minor >= 0 else 'D'}{abs(net_minor):016d}",
    }


def compare(sent: Fields, answer: Fields | None) -> Comparison:
    """What the answer to an 0500 says; silence, refusals and answers to others say nothing."""
    if answer is None or answer.get(39) != APPROVED:
        return Comparison("undecided", {})
    if any(sent[number] != answer.get(number) for number in (15, 50)):
        return Comparison("undecided", {})
    differences: dict[str, str | int] = {}
    for number, name in FIGURES.items():
        theirs = answer.get(number, "")
        if theirs != sent[number]:
            differences[f"our_{name}"] = sent[number]
            differences[f"their_{name}"] = theirs
    code = answer.get(66)
    if code == BALANCED and not differences:
        return Comparison("in_balance", {})
    if code in (BALANCED, OUT_OF_BALANCE):
        return Comparison("out_of_balance", differences)
    return Comparison("undecided", {})
