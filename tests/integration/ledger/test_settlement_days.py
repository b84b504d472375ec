"""Which date a network is at, and which days are still to be compared with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ledger.errors import RowError
from ledger.settlement_days import (
    begin_settlement_day,
    days_to_balance,
    note_balance,
    present_settlement_days,
)
from tests.support.ledger import charge, outcome

if TYPE_CHECKING:
    from tests.support.ledger import LedgerHarness

TODAY = datetime.now(tz=UTC).date()
YESTERDAY, TOMORROW = (TODAY + timedelta(days=days) for days in (-1, 1))


async def _charged(
    ledger: LedgerHarness, network: str, settles_on: str, *, currency: str = "usd"
) -> None:
    [of] = await ledger.created(amount_minor=1_000, currency=currency)
    row = charge(of, network=network)
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([outcome(row, settles_on=settles_on)])


async def test_the_day_told_last_is_the_present_one(ledger: LedgerHarness) -> None:
    """Each network has its own; one told again is present again."""
    switch = await ledger.session("turnout_switch")
    for network, day in (("a", YESTERDAY), ("b", TODAY), ("a", TODAY), ("a", YESTERDAY)):
        await begin_settlement_day(switch, network, day.isoformat())
    reader = await ledger.session("turnout_reader")
    days = await present_settlement_days(reader)
    assert (days["a"], days["b"]) == (YESTERDAY.isoformat(), TODAY.isoformat())


@pytest.mark.parametrize("text", ["", "1123", "2026-02-30", "soon"])
async def test_what_is_no_date_is_refused(ledger: LedgerHarness, text: str) -> None:
    """It would be money on no day."""
    switch = await ledger.session("turnout_switch")
    with pytest.raises(RowError):
        await begin_settlement_day(switch, "a", text)


async def test_days_are_compared_once_they_are_over(ledger: LedgerHarness) -> None:
    """By currency, of this network, before its present day, and each until it was compared."""
    switch = await ledger.session("turnout_switch")
    for network, day, currency in (
        ("nets", YESTERDAY, "usd"),
        ("nets", YESTERDAY, "eur"),
        ("nets", TODAY, "usd"),
        ("nets", TOMORROW, "usd"),
        ("other", YESTERDAY, "gbp"),
    ):
        await _charged(ledger, network, day.isoformat(), currency=currency)
    assert await days_to_balance(switch, "nets") == []  # it has told no date yet
    await begin_settlement_day(switch, "nets", TODAY.isoformat())
    yesterday = YESTERDAY.isoformat()
    assert await days_to_balance(switch, "nets") == [(yesterday, "eur"), (yesterday, "usd")]
    await note_balance(switch, "nets", yesterday, "eur", in_balance=False)
    await note_balance(switch, "nets", yesterday, "eur", in_balance=True)
    await begin_settlement_day(switch, "nets", TOMORROW.isoformat())
    assert await days_to_balance(switch, "nets") == [
        (yesterday, "usd"),
        (TODAY.isoformat(), "usd"),
    ]
    assert await days_to_balance(switch, "nets", days_back=1) == [(TODAY.isoformat(), "usd")]
