"""The depths of a real ledger's queues, as Prometheus reads them."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from chassis.metrics import Metrics
from ledger.deciding.records import NewException, Plan
from ledger.errors import LedgerError
from ledger.exceptions import open_exceptions
from switch.depths import Depths
from tests.support.deciding import Decide, attempt, saf_row
from tests.support.ledger import NOW_US, LedgerHarness, charge, open_ledger, outcome
from tests.support.postgres import LedgerDSN


async def _decide(ledger: LedgerHarness, intent_id: bytes, plan: Plan) -> None:
    await ledger.decisions.run([Decide(intent_id, lambda _: plan)])


async def _fill(ledger: LedgerHarness) -> None:
    """Three advices, of which one waits for an operator, a doubt and an exception."""
    for row, manual in zip(await ledger.charged(3), (False, True, False), strict=True):
        message = attempt(row.transaction_id, "reversal")
        plan = Plan(attempts=[message], saf_add=[saf_row(message, manual=manual)])
        await _decide(ledger, row.intent_id, plan)
    [of] = await ledger.created()
    doubted = charge(of)
    await ledger.charges.record([doubted], lane="fast")
    until_us = NOW_US + 30_000_000
    await ledger.outcomes.settle(
        [outcome(doubted, "unknown", verify_at_us=NOW_US, verify_until_us=until_us)]
    )
    await open_exceptions(await ledger.connect(), [NewException("late_approval", "vsim")])


async def test_depths_are_counted_by_network_and_kind(fresh_ledger_dsn: LedgerDSN) -> None:
    """Zero where nothing waits, and before the first count; no series comes or goes with rows."""
    async with open_ledger(fresh_ledger_dsn) as ledger:
        depths = Depths(await ledger.connect(), lambda: time.time_ns() // 1_000)
        metrics, registry = Metrics("switch"), CollectorRegistry()
        depths.register(metrics, ("vsim", "msim"))
        registry.register(metrics)

        def value(noun: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"turnout_switch_{noun}", labels)

        reversals = {"network": "vsim", "kind": "reversal"}
        assert value("advices_waiting_total", **reversals) == 0
        await _fill(ledger)
        await depths.count()
        assert value("advices_waiting_total", **reversals) == 2
        assert value("advices_manual_total", **reversals) == 1
        assert value("advices_waiting_total", network="vsim", kind="completion") == 0
        assert value("advices_waiting_total", network="msim", kind="reversal") == 0
        assert value("doubts_open_total", network="vsim") == 1
        assert value("doubts_open_total", network="msim") == 0
        assert value("exceptions_open_total") == 1
        oldest_s = value("advices_oldest_seconds", network="vsim")
        assert oldest_s is not None
        assert 0 < oldest_s < 10
        assert value("advices_oldest_seconds", network="msim") == 0

        await ledger.superuser.script("ALTER TABLE store_and_forward RENAME TO away")
        with pytest.raises(LedgerError):
            await depths.count()
        assert value("advices_manual_total", **reversals) == 1
