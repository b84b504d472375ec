"""Clearing away: in quiet hours only, batch by batch, and never at the cost of the switch."""

from __future__ import annotations

from functools import partial

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from chassis.settings import Switch
from ledger.errors import RetryableError
from switch.clean_up import PAUSE_S, Chore, clean_up, is_quiet

HOUR_S = 3_600
MIDNIGHT_S = 1_799_971_200  # 2027-01-15T00:00:00Z
SETTINGS = Switch(clean_up_from_hour=1, clean_up_until_hour=3, clean_up_interval_s=60)
BATCH = 100

Clock = trio.testing.MockClock


def at(hour: float) -> int:
    """An instant of that day, microseconds since 1970."""
    return int((MIDNIGHT_S + hour * HOUR_S) * 1_000_000)


@attrs.define
class Table:
    """Rows that may be deleted; `faults` are raised first, one a batch."""

    rows: int
    batches: list[tuple[float, int]] = attrs.field(factory=list)  # when, how many
    faults: int = 0

    async def delete(self, limit: int) -> int:
        """Delete a batch."""
        await trio.lowlevel.checkpoint()
        if self.faults:
            self.faults -= 1
            raise RetryableError("locked", sqlstate="55P03")
        count = min(limit, self.rows)
        self.rows -= count
        self.batches.append((trio.current_time(), count))
        return count


async def run(nursery: trio.Nursery, *tables: Table, hour: float) -> None:
    """Start cleaning up at an hour of the day."""
    began = trio.current_time()
    now_us = lambda: at(hour) + int((trio.current_time() - began) * 1_000_000)  # noqa: E731
    chores = [Chore(f"chore_{n}", BATCH, table.delete) for n, table in enumerate(tables)]
    nursery.start_soon(partial(clean_up, chores, SETTINGS, now_us))


@pytest.mark.parametrize(
    ("hours", "quiet"),
    [
        ((1, 3), {1, 2}),
        ((22, 2), {22, 23, 0, 1}),
        ((0, 23), set(range(23))),
        ((5, 5), set(range(24))),
    ],
)
def test_quiet_hours_may_span_midnight(hours: tuple[int, int], quiet: set[int]) -> None:
    """From the first one on, up to and without the last one; the same twice is the whole day."""
    settings = Switch(clean_up_from_hour=hours[0], clean_up_until_hour=hours[1])
    assert {hour for hour in range(24) if is_quiet(settings, at(hour))} == quiet
    assert {hour for hour in range(24) if is_quiet(settings, at(hour + 0.999))} == quiet


async def test_nothing_is_deleted_outside_the_quiet_hours(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Until the first one begins; what was old by then goes within a round."""
    table = Table(150)
    await run(nursery, table, hour=0.5)
    await trio.sleep(HOUR_S / 2 - 1)
    assert table.batches == []
    await trio.sleep(SETTINGS.clean_up_interval_s)
    assert [count for _, count in table.batches] == [100, 50]


async def test_every_chore_goes_batch_by_batch(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """With a pause after each full batch, and one chore after the other."""
    keys, declines = Table(250), Table(30)
    began = trio.current_time()
    await run(nursery, keys, declines, hour=1)
    with capture_logs() as logs:
        await trio.sleep(SETTINGS.clean_up_interval_s + 5)
    first = began + SETTINGS.clean_up_interval_s
    assert keys.batches == [(first, 100), (first + PAUSE_S, 100), (first + 2 * PAUSE_S, 50)]
    assert declines.batches == [(first + 2 * PAUSE_S, 30)]
    assert [(line["chore"], line["rows"]) for line in logs] == [("chore_0", 250), ("chore_1", 30)]


async def test_a_large_chore_ends_with_the_quiet_hours(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """The rest waits for the next night."""
    table = Table(10**9)
    await run(nursery, table, hour=2.9)
    await trio.sleep(4 * HOUR_S)
    assert len(table.batches) == pytest.approx(0.1 * HOUR_S - SETTINGS.clean_up_interval_s, abs=2)


async def test_a_fault_of_one_chore_ends_nothing(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    """Somebody held a lock: the other chores are done, and this one in the next round."""
    locked, other = Table(10, faults=1), Table(10)
    await run(nursery, locked, other, hour=1)
    with capture_logs() as logs:
        await trio.sleep(SETTINGS.clean_up_interval_s + 1)
        assert (locked.rows, other.rows) == (10, 0)
        await trio.sleep(SETTINGS.clean_up_interval_s + 1)
    assert locked.rows == 0
    failed = [line for line in logs if line["event"] == "clean_up_failed"]
    assert [(line["chore"], line["error"]) for line in failed] == [("chore_0", "RetryableError")]
