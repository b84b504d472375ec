"""From DE 15 to a date that outlives the process."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from ledger.errors import ConnectionLostError
from switch.settlement_days import SettlementDays, months_and_days

NEW_YEARS_EVE_US = int(datetime(2026, 12, 31, 22, tzinfo=UTC).timestamp() * 1_000_000)


class Ledger:
    """Keeps dates; fails as often as the test says."""

    def __init__(self) -> None:
        self.days: list[tuple[str, str]] = []
        self.noted: list[str] = []
        self.failures = 0

    async def note(self, network: str, day: str) -> None:
        """As `begin_settlement_day`."""
        await trio.sleep(0.01)
        if self.failures:
            self.failures -= 1
            raise ConnectionLostError("gone")
        self.days.append((network, day))


@pytest.fixture
def ledger() -> Ledger:
    """A ledger that knows no day."""
    return Ledger()


@pytest.fixture
def days(ledger: Ledger, nursery: trio.Nursery) -> SettlementDays:
    """What links tell on New Year's Eve."""
    days = SettlementDays(ledger.note, ledger.noted.append, lambda: NEW_YEARS_EVE_US)
    nursery.start_soon(days.run)
    return days


async def test_a_date_gets_its_year_and_is_kept(
    autojump_clock: trio.testing.MockClock, days: SettlementDays, ledger: Ledger
) -> None:
    """The year that brings it nearest: tomorrow is next year's."""
    days.told("vsim", "0101")
    days.told("msim", "1231")
    await trio.sleep(1)
    assert ledger.days == [("vsim", "2027-01-01"), ("msim", "2026-12-31")]
    assert ledger.noted == ["vsim", "msim"]


async def test_a_ledger_that_is_away_is_told_later(
    autojump_clock: trio.testing.MockClock, days: SettlementDays, ledger: Ledger
) -> None:
    """A second cutover meanwhile replaces the first."""
    ledger.failures = 5
    days.told("vsim", "1231")
    await trio.sleep(0.1)
    days.told("vsim", "0101")
    await trio.sleep(10)
    assert ledger.days[-1] == ("vsim", "2027-01-01")
    assert ledger.noted[-1] == "vsim"


async def test_a_day_that_no_year_has_is_told_of(days: SettlementDays, ledger: Ledger) -> None:
    """30 February passes for MMDD and is none."""
    with capture_logs() as lines:
        days.told("vsim", "0230")
    assert [line["event"] for line in lines] == ["settlement_date_impossible"]
    assert ledger.days == []


def test_dates_as_links_keep_them() -> None:
    """DE 15 has month and day."""
    assert months_and_days({"vsim": "2027-01-01"}) == {"vsim": "0101"}
