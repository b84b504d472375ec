"""What the network moved on each settlement date, for reconciliation (0500). Pure.

Counted are messages that move money: a sale (0200) and a capture (0220) are debits, a refund is a
credit, an acknowledged reversal of one of them a reversal of that kind. Each counts on the
settlement date that stood in its answer (DE 15). An authorization moves nothing, nor does its
reversal. Sums are in minor units, one row per acquirer, date and currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

BALANCED: Final = "1"  # DE 66
OUT_OF_BALANCE: Final = "2"
COUNT_DIGITS: Final = 10
SUM_DIGITS: Final = 16


class Totals(Struct, gc=False):
    """Counts and sums of one acquirer, settlement date and currency."""

    debits: int = 0
    debits_amount: int = 0
    debit_reversals: int = 0
    debit_reversals_amount: int = 0
    credits: int = 0
    credits_amount: int = 0
    credit_reversals: int = 0
    credit_reversals_amount: int = 0

    def add(self, posted: int) -> None:
        """Count a message by what it posted: positive left the cardholder's account."""
        if posted > 0:
            self.debits += 1
            self.debits_amount += posted
        else:
            self.credits += 1
            self.credits_amount -= posted

    def add_reversal(self, posted: int) -> None:
        """Count the reversal of a message; what came back to the cardholder is negative."""
        if posted < 0:
            self.debit_reversals += 1
            self.debit_reversals_amount -= posted
        else:
            self.credit_reversals += 1
            self.credit_reversals_amount += posted

    @property
    def net(self) -> int:
        """What the network owes the acquirer; negative = the other way."""
        debits = self.debits_amount - self.debit_reversals_amount
        return debits - self.credits_amount + self.credit_reversals_amount

    def elements(self) -> dict[int, str]:
        """DE 74 to 77, 86 to 89 and 97 of an 0500 or 0510."""
        counts = (self.credits, self.credit_reversals, self.debits, self.debit_reversals)
        sums = (
            self.credits_amount,
            self.credit_reversals_amount,
            self.debits_amount,
            self.debit_reversals_amount,
        )
        elements = {
            number: f"{count:0{COUNT_DIGITS}d}" for number, count in enumerate(counts, start=74)
        }
        elements |= {
            number: f"{amount:0{SUM_DIGITS}d}" for number, amount in enumerate(sums, start=86)
        }
        elements[97] = f"{'C' if self.net >= 0 else 'D'}{abs(self.net):0{SUM_DIGITS}d}"
        return elements

    def agrees_with(self, fields: Mapping[int, str]) -> bool:
        """Whether an 0500 says the same of every count and sum."""
        return all(fields.get(number) == text for number, text in self.elements().items())
