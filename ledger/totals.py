"""What a network moved for us on one settlement date: our side of 0500 (money.md I6)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.pgtypes import text_
from ledger.statements import QUERIES, Runner

_TOTALS: Final = QUERIES["network_totals"]


class Total(Struct, frozen=True):
    """A class of messages: how many, and their amounts together."""

    count: int = 0
    sum_minor: int = 0


class NetworkTotals(Struct, frozen=True):
    """Debits and credits of one network, currency and settlement date.

    DE 76 and 88 are `sales` and `captures` together, DE 74 and 86 `refunds`, DE 77 and 89
    `sale_reversals`, DE 75 and 87 `refund_reversals`.
    """

    sales: Total = Total()
    captures: Total = Total()
    refunds: Total = Total()
    sale_reversals: Total = Total()
    refund_reversals: Total = Total()

    @property
    def net_minor(self) -> int:
        """What the network owes us: debits less credits, reversals taken back (DE 97)."""
        debits = self.sales.sum_minor + self.captures.sum_minor - self.sale_reversals.sum_minor
        return debits - self.refunds.sum_minor + self.refund_reversals.sum_minor


async def network_totals(
    runner: Runner, network: str, currency: str, settles_on: str
) -> NetworkTotals:
    """Add up what a network acknowledged for one settlement date.

    Args:
        runner: as the switch or the reader.
        network: by its name.
        currency: lower-case letters, such as `usd`.
        settles_on: DE 15 with its year, YYYY-MM-DD.

    Raises:
        RowError: `settles_on` is no date.
        DatabaseError: or one of its other children.
    """
    result = await runner.run(_TOTALS, [text_(network), text_(currency), text_(settles_on)])
    return NetworkTotals(**{name: Total(*total) for name, *total in result.rows()})
