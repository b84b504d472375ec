"""Declines that are remembered of cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.declines import forget_declines, recent_declines
from tests.support.ledger import NOW_US, charge, outcome

if TYPE_CHECKING:
    from ledger.connection import Connection
    from tests.support.ledger import LedgerHarness


async def test_declines_are_read_in_pages_and_forgotten(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """All of them from an instant on, oldest first, however small the pages."""
    await ledger.rows("DELETE FROM declines RETURNING 1")
    rows = [charge(of) for of in await ledger.created(7)]
    await ledger.charges.record(rows, lane="fast")
    told = [
        outcome(row, "declined", decline_class="hard", at_us=NOW_US + n // 3)
        for n, row in enumerate(rows)
    ]
    await ledger.outcomes.settle(told)
    for page_rows in (1, 2, 3, 7, 50):
        pages = [page async for page in recent_declines(switch, NOW_US, page_rows=page_rows)]
        found = [decline for page in pages for decline in page]
        assert [(d.at_us, d.attempt_id) for d in found] == sorted(
            (of.at_us, of.attempt_id) for of in told
        )
        assert all(0 < len(page) <= page_rows for page in pages)
    assert {(d.merchant_id, d.decline_class) for d in found} == {(ledger.merchant_id, "hard")}
    later = [page async for page in recent_declines(switch, NOW_US + 1)]
    assert len(later[0]) == 4
    assert await forget_declines(switch, NOW_US + 1, limit=2) == 2
    assert await forget_declines(switch, NOW_US + 1, limit=2) == 1
    assert await forget_declines(switch, NOW_US + 1, limit=2) == 0
    assert len([d async for page in recent_declines(switch, 0) for d in page]) == 4
