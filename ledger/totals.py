"""What a network moved for us on one settlement date: our side of 0500 (money.md I6)."""

from __future__ import annotations

from typing import Final

from ledger.pgtypes import text_
from ledger.rows import NetworkTotals, Total
from ledger.statements import QUERIES, Runner

_TOTALS: Final = QUERIES["network_totals"]


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
