"""The memory of declined cards follows the ledger's table."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from chassis.settings import Switch
from ledger.declines import DeclineRow
from ledger.errors import ConnectionLostError
from switch.core.decline_memory import KEPT_US, DeclineMemory
from switch.declines import LOAD_S, OVERLAP_US, PAGE_ROWS, Declines

SETTINGS = Switch(declines_refresh_s=2.0)
NOW_US = 1_800_000_000_000_000
SHOP = b"s" * 16
PAN = "4111111111111111"

Clock = trio.testing.MockClock


def decline(at_us: int, class_: str = "hard", *, card: bytes | None = None) -> DeclineRow:
    """A decline of a card of its own."""
    return DeclineRow(at_us, os.urandom(16), SHOP, card or os.urandom(16), "vsim", class_)


@attrs.define
class Table:
    """The table of declines; `offset_us` is what the clock was set by."""

    rows: list[DeclineRow] = attrs.field(factory=list)
    asked: list[int] = attrs.field(factory=list)
    page_s: float = 0.0
    down: bool = False
    offset_us: int = 0

    def now_us(self) -> int:
        """The wall clock."""
        return NOW_US + self.offset_us + int(trio.current_time() * 1_000_000)

    async def recent(self, since_us: int, *, page_rows: int) -> AsyncIterator[list[DeclineRow]]:
        """Pages, oldest first."""
        self.asked.append(since_us)
        rows = sorted(
            (row for row in self.rows if row.at_us >= since_us), key=lambda row: row.at_us
        )
        for start in range(0, len(rows), page_rows):
            await trio.sleep(self.page_s)
            if self.down:
                raise ConnectionLostError("gone")
            yield rows[start : start + page_rows]
        if self.down:
            raise ConnectionLostError("gone")


@pytest.fixture
def table() -> Table:
    """An empty table."""
    return Table()


@pytest.fixture
def memory() -> DeclineMemory:
    """A memory of cards."""
    return DeclineMemory(10_000)


@pytest.fixture
def declines(table: Table, memory: DeclineMemory) -> Declines:
    """What keeps the one like the other."""
    return Declines(memory, table.recent, SETTINGS, table.now_us)


def refused(memory: DeclineMemory, row: DeclineRow, table: Table) -> bool:
    """Whether the card of a decline may not be tried again."""
    return memory.refusal(SHOP, row.fingerprint, "visa", PAN, table.now_us()) != ""


async def test_the_table_is_read_before_the_first_payment(
    autojump_clock: Clock,
    nursery: trio.Nursery,
    declines: Declines,
    table: Table,
    memory: DeclineMemory,
) -> None:
    """Thirty days back, page by page."""
    table.rows = [decline(NOW_US - KEPT_US + n * 1_000_000) for n in range(1, PAGE_ROWS + 11)]
    old = decline(NOW_US - KEPT_US - OVERLAP_US - 1)
    table.rows.append(old)
    await nursery.start(declines.run)
    assert len(memory) == PAGE_ROWS + 10
    assert refused(memory, table.rows[5], table)
    assert not refused(memory, old, table)


async def test_a_long_table_does_not_keep_the_switch(
    autojump_clock: Clock,
    nursery: trio.Nursery,
    declines: Declines,
    table: Table,
    memory: DeclineMemory,
) -> None:
    """After a while payments are taken, and the rest is read beside them."""
    table.rows = [decline(NOW_US - 10**9 + n) for n in range(10 * PAGE_ROWS)]
    table.page_s = 0.5
    began = trio.current_time()
    await nursery.start(declines.run)
    assert trio.current_time() - began == LOAD_S
    assert len(memory) == 4 * PAGE_ROWS
    await trio.sleep(4)
    assert len(memory) == 10 * PAGE_ROWS


async def test_what_other_switches_record_counts_within_seconds(
    autojump_clock: Clock,
    nursery: trio.Nursery,
    declines: Declines,
    table: Table,
    memory: DeclineMemory,
) -> None:
    """Each look begins a little before the newest: also what became visible late is seen, once."""
    first = decline(NOW_US - 1_000_000)
    table.rows = [first]
    await nursery.start(declines.run)
    newer, late = decline(NOW_US + 500_000), decline(first.at_us - OVERLAP_US + 1)
    card = b"c" * 16
    soft = [decline(NOW_US + n, "soft", card=card) for n in range(14)]
    table.rows += [newer, *soft]
    await trio.sleep(SETTINGS.declines_refresh_s + 0.1)
    assert refused(memory, newer, table)
    table.rows.append(late)
    for _ in range(5):
        await trio.sleep(SETTINGS.declines_refresh_s)
    assert not refused(memory, late, table), "the newest has moved on since"
    assert not refused(memory, soft[0], table), "read again and again, each counts once"
    assert table.asked[1:3] == [first.at_us - OVERLAP_US, newer.at_us - OVERLAP_US]


async def test_what_becomes_visible_late_is_seen(
    autojump_clock: Clock,
    nursery: trio.Nursery,
    declines: Declines,
    table: Table,
    memory: DeclineMemory,
) -> None:
    """Its commit took longer than that of a newer one."""
    await nursery.start(declines.run)
    table.rows.append(decline(table.now_us()))
    await trio.sleep(SETTINGS.declines_refresh_s + 0.1)
    late = decline(table.rows[0].at_us - OVERLAP_US + 1)
    table.rows.append(late)
    await trio.sleep(SETTINGS.declines_refresh_s)
    assert refused(memory, late, table)


async def test_a_clock_that_was_set_back_hides_nothing(
    autojump_clock: Clock,
    nursery: trio.Nursery,
    declines: Declines,
    table: Table,
    memory: DeclineMemory,
) -> None:
    """Declines from before the step lie in the future; those after it are read all the same."""
    table.rows = [decline(NOW_US + 3_600_000_000)]
    await nursery.start(declines.run)
    table.offset_us = -60_000_000
    now = decline(table.now_us())
    table.rows.append(now)
    await trio.sleep(SETTINGS.declines_refresh_s + 0.1)
    assert refused(memory, now, table)


async def test_a_ledger_that_is_away_is_waited_for(
    autojump_clock: Clock,
    nursery: trio.Nursery,
    declines: Declines,
    table: Table,
    memory: DeclineMemory,
) -> None:
    """Told once; the table is read when it is back, from where it was left."""
    table.rows = [decline(NOW_US - 5)]
    table.down = True
    with capture_logs() as logs:
        await nursery.start(declines.run)
        await trio.sleep(10)
    assert [line["event"] for line in logs] == ["declines_not_read"]
    assert len(memory) == 0
    table.down = False
    await trio.sleep(SETTINGS.declines_refresh_s)
    assert refused(memory, table.rows[0], table)


async def test_old_cards_are_dropped(
    autojump_clock: Clock,
    nursery: trio.Nursery,
    declines: Declines,
    table: Table,
    memory: DeclineMemory,
) -> None:
    """When no rule goes by their declines any more."""
    table.rows = [decline(NOW_US - KEPT_US + 5_000_000)]
    await nursery.start(declines.run)
    assert len(memory) == 1
    table.rows.clear()
    await trio.sleep(8)
    assert len(memory) == 0
