"""`turnout doubts` against a real ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.deciding.records import Plan
from ledger.ids import public_id
from ledger.records import ChargeToRecord
from tests.support.deciding import Decide
from tests.support.ledger import NOW_US, LedgerHarness, charge, open_ledger, outcome
from tests.support.operator import Operator
from tests.support.postgres import LedgerDSN

NOBODY = "att_0000000000000000000001"


@pytest.fixture
async def operator(fresh_ledger_dsn: LedgerDSN, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator of a ledger of this test's own."""
    async with open_ledger(fresh_ledger_dsn) as ledger:
        yield Operator(ledger, tmp_path, "doubts")


async def _doubted(ledger: LedgerHarness, count: int) -> list[ChargeToRecord]:
    rows = [charge(of) for of in await ledger.created(count)]
    await ledger.charges.record(rows, lane="fast")
    window = {"verify_at_us": NOW_US, "verify_until_us": NOW_US + 30_000_000}
    await ledger.outcomes.settle([outcome(row, "unknown", **window) for row in rows])
    return rows


async def test_what_is_in_doubt_is_listed_and_shown(operator: Operator) -> None:
    """Oldest first, as many as asked for, each with its message's numbers."""
    assert await operator.json("list") == {"counts": [], "doubts": [], "more": False}
    rows = await _doubted(operator.ledger, 3)
    names = [public_id("att", row.attempt_id) for row in rows]
    document = await operator.json("list")
    assert [each["attempt"] for each in document["doubts"]] == names
    assert [(count["network"], count["open"]) for count in document["counts"]] == [("vsim", 3)]
    page = await operator.json("list", "--limit", "2")
    assert ([each["attempt"] for each in page["doubts"]], page["more"]) == (names[:2], True)
    table = await operator.run("list")
    assert all(name in table.stdout for name in names)

    shown = await operator.json("show", names[1])
    assert shown == document["doubts"][1]
    assert (shown["rrn"], shown["stan"]) == (rows[1].rrn, rows[1].stan)
    assert shown["intent"] == public_id("pi", rows[1].intent_id)


async def test_a_doubt_that_has_ended_is_none(operator: Operator) -> None:
    """Whatever ended it: what is left to do, if anything, stands among the advices."""
    [row] = await _doubted(operator.ledger, 1)
    name = public_id("att", row.attempt_id)
    assert (await operator.json("show", name))["attempt"] == name
    ended = Plan(verify_drop=[row.attempt_id])
    await operator.ledger.decisions.run([Decide(row.intent_id, lambda _: ended)])
    assert "a reversal has taken its place" in await operator.refused("show", name)
    assert "no such message is in doubt" in await operator.refused("show", NOBODY)
