"""What the ledger says to those who only decide: pure, so that they need no connection to import.

The statements that read these rows stand in `ledger.merchants`, `ledger.leases` and
`ledger.totals`.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from msgspec import Struct


@attrs.frozen
class Merchant:
    """A merchant as it stands."""

    merchant_id: bytes
    created_at_us: int
    name: str
    status: str  # active | suspended | closed
    country: str
    settlement_currency: str
    mcc: str
    terminal_id: str
    card_acceptor_id: str
    name_location: str
    browser_origins: Sequence[str]


class LeaseRow(Struct, gc=False, frozen=True):
    """A lease as the ledger has it."""

    switch: str
    epoch: int
    expires_at_us: int  # by the database's clock; another value after each heartbeat
    recover_from: bytes


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
