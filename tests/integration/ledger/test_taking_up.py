"""What a switch mends when it takes queues up that another clock has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ledger.deciding.records import Plan, VerificationRow
from ledger.deciding.views import read_views
from ledger.taking_up import Reach, free_advices, reopen_doubts
from tests.support.deciding import Decide, queue_row, queued
from tests.support.ledger import NOW_US

if TYPE_CHECKING:
    from ledger.connection import Connection
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness


WINDOW_US = 30_000_000


REACH = Reach(
    "vsim",
    now_us=NOW_US,
    doubts_us=NOW_US + WINDOW_US,
    questions=3,
    advices_us=[NOW_US, NOW_US + 7_000_000, NOW_US + 12_000_000],
)


async def _doubted(
    ledger: LedgerHarness, row: ChargeToRecord, inquiries: int, due_us: int, ends_us: int
) -> None:
    doubt = VerificationRow(
        row.attempt_id,
        row.transaction_id,
        row.network,
        due_at_us=NOW_US + due_us,
        window_ends_at_us=NOW_US + ends_us,
        inquiries=inquiries,
    )
    plan = Plan(verify_add=[doubt])
    await ledger.decisions.run([Decide(row.intent_id, lambda _: plan)])


async def test_doubts_that_are_taken_up_begin_anew(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """Those with a question left, over or not; the others are brought near if they lie ahead."""
    hour_us = 3_600_000_000
    cases = {
        (0, hour_us + 1_000_000, hour_us + WINDOW_US): (0, WINDOW_US),
        (1, 3_000_000, 8_000_000): (0, WINDOW_US),
        (2, -hour_us, 1 - hour_us): (0, WINDOW_US),
        (3, hour_us + WINDOW_US, hour_us + WINDOW_US): (WINDOW_US, WINDOW_US),
        (3, 5_000_000, 5_000_000): (5_000_000, 5_000_000),
        (3, -1, -1): (-1, -1),
    }
    rows = await ledger.charged(len(cases))
    for row, case in zip(rows, cases, strict=True):
        await _doubted(ledger, row, *case)
    assert await reopen_doubts(switch, "switch-of-others", REACH) == 0
    assert await reopen_doubts(switch, ledger.switch, replace(REACH, network="msim")) == 0
    assert await reopen_doubts(switch, ledger.switch, REACH, limit=2) == 4
    views = await read_views(ledger.superuser, [row.intent_id for row in rows])
    for row, expected in zip(rows, cases.values(), strict=True):
        [doubt] = views[row.intent_id].verification
        found = (doubt.due_at_us - NOW_US, doubt.window_ends_at_us - NOW_US)
        assert found == expected
    assert await reopen_doubts(switch, ledger.switch, REACH) == 0


async def test_nothing_is_reopened_where_nothing_is_asked(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """Under a policy that reverses, a doubt is due and stays so; one that lies ahead is due now."""
    over, ahead = await ledger.charged(2)
    await _doubted(ledger, over, 0, -5, -5)
    await _doubted(ledger, ahead, 0, 5, 5)
    reach = replace(REACH, doubts_us=NOW_US, questions=0)
    assert await reopen_doubts(switch, ledger.switch, reach) == 1
    views = await read_views(ledger.superuser, [over.intent_id, ahead.intent_id])
    due = [views[row.intent_id].verification[0].due_at_us - NOW_US for row in (over, ahead)]
    assert due == [-5, 0]


async def test_advices_that_lie_too_far_ahead_are_due_at_once(
    ledger: LedgerHarness, switch: Connection
) -> None:
    """By how often they were sent; another switch's and another network's are left alone."""
    cases = {
        (0, 1): 0,
        (0, -1): -1,
        (1, 7_000_000): 7_000_000,
        (1, 7_000_001): 0,
        (2, 12_000_000): 12_000_000,
        (9, 12_000_001): 0,
    }
    rows = await ledger.charged(len(cases))
    for row, (repeats, due_us) in zip(rows, cases, strict=True):
        await queued(ledger, row, repeats=repeats, due_at_us=NOW_US + due_us)
    assert await free_advices(switch, "switch-of-others", REACH) == 0
    assert await free_advices(switch, ledger.switch, replace(REACH, network="msim")) == 0
    assert await free_advices(switch, ledger.switch, REACH, limit=1) == 3
    due = [(await queue_row(ledger, row)).due_at_us - NOW_US for row in rows]
    assert due == list(cases.values())
