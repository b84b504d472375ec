"""Processes that die at each named step, with payments in flight: nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from chaos.faults import Clock
from chaos.run import HASTE, hear, merchant
from chaos.schedule import CRASH_POINTS
from chaos.shop import Shop
from chassis.crash_points import AUDIT_POINTS, POINTS, arm, disarm, is_armed
from stack.temporary import stack_in

pytestmark = pytest.mark.chaos
RATE_PER_S = 25.0
BETWEEN_S = 1.0  # the process is back and at work
REACHED_WITHIN_S = 15.0


def _process(point: str) -> str:
    """Which process comes to a step."""
    if point in POINTS:
        return "switch-0"
    return "audit" if point in AUDIT_POINTS else "relay"


async def test_a_process_dies_at_every_step(open_tmp_path: Path) -> None:
    """One after the other; then all payments end, the witnesses agree, and the stream holds all."""
    file, clock_file = open_tmp_path / "crash-point", open_tmp_path / "clock"
    disarm(file)
    clock = Clock(clock_file)
    settings = {**HASTE, "testing.crash_point_file": str(file)}
    async with stack_in(open_tmp_path, settings) as stack, merchant(stack, clock) as client:
        shop = Shop(client, seed=11)
        async with trio.open_nursery() as stories, trio.open_nursery() as trade:
            trade.start_soon(shop.trade, RATE_PER_S, stories)
            for point in CRASH_POINTS:
                await trio.sleep(BETWEEN_S)
                name = _process(point)
                before = stack.refresh().processes[name]
                in_flight = 0
                arm(file, point)
                with trio.fail_after(REACHED_WITHIN_S):
                    while is_armed(file) or before == stack.refresh().processes.get(name):
                        if not is_armed(file):  # it has died there
                            in_flight = max(in_flight, shop.under_way)
                        await trio.sleep(0.02)
                assert in_flight > 0, point
            trade.cancel_scope.cancel()
        witnesses = await hear(stack, shop)
    verdict = witnesses.compared()
    assert verdict.holds, verdict.reasons
    assert witnesses.streamed.holds, witnesses.streamed
    assert witnesses.audited.ok, witnesses.audited
    assert shop.counts.ended == shop.counts.begun > RATE_PER_S
    assert stack.exit_code == 0
