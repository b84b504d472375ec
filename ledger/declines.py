"""Which cards were declined for which merchant: what the rules on trying again go by.

The table is written on declines only and read when a switch starts, which keeps the sets it needs
in memory (money.md 2). A fingerprint names a card: no role but the switch's sees it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from ledger.pgtypes import int8_, timestamptz_, uuid_
from ledger.statements import QUERIES, Runner

PAGE_ROWS: Final = 5_000
FORGET_ROWS_MAX: Final = 10_000  # what one statement deletes in well under a second

_RECENT: Final = QUERIES["recent_declines"]
_FORGET: Final = QUERIES["forget_declines"]


class DeclineRow(Struct, gc=False, frozen=True):
    """One decline."""

    at_us: int
    attempt_id: bytes
    merchant_id: bytes
    fingerprint: bytes
    network: str
    decline_class: str  # lifecycle.DECLINE_CLASSES


async def recent_declines(
    runner: Runner, since_us: int, *, page_rows: int = PAGE_ROWS
) -> AsyncIterator[list[DeclineRow]]:
    """What was declined from `since_us` on, oldest first, in pages; an empty table gives none.

    Role: turnout_switch.
    """
    at_us, attempt_id = since_us - 1, b"\xff" * 16
    while True:
        params = [timestamptz_(at_us), uuid_(attempt_id), int8_(page_rows)]
        page = [DeclineRow(*row) for row in (await runner.run(_RECENT, params)).rows()]
        if page:
            yield page
        if len(page) < page_rows:
            return
        at_us, attempt_id = page[-1].at_us, page[-1].attempt_id


async def forget_declines(runner: Runner, before_us: int, *, limit: int = FORGET_ROWS_MAX) -> int:
    """Delete at most `limit` declines that no rule asks for any more; gives how many.

    Repeat until fewer come back. Role: turnout_switch.
    """
    return (await runner.run(_FORGET, [timestamptz_(before_us), int8_(limit)])).row_count
