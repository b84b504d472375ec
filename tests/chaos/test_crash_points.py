"""A switch that dies at each named step, with payments in flight: nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from chaos.faults import Clock
from chaos.run import HASTE, hear, merchant
from chaos.shop import Shop
from chassis.crash_points import POINTS, arm, disarm, is_armed
from stack.temporary import stack_in

pytestmark = pytest.mark.chaos
RATE_PER_S = 25.0
BETWEEN_S = 1.0  # a switch is back and at work
REACHED_WITHIN_S = 15.0


async def test_a_switch_dies_at_every_step(open_tmp_path: Path) -> None:
    """One after the other; then all payments end, and the three witnesses agree on each."""
    file, clock_file = open_tmp_path / "crash-point", open_tmp_path / "clock"
    disarm(file)
    clock = Clock(clock_file)
    settings = {**HASTE, "testing.crash_point_file": str(file)}
    async with stack_in(open_tmp_path, settings) as stack, merchant(stack, clock) as client:
        shop = Shop(client, seed=11)
        async with trio.open_nursery() as stories, trio.open_nursery() as trade:
            trade.start_soon(shop.trade, RATE_PER_S, stories)
            for point in POINTS:
                await trio.sleep(BETWEEN_S)
                before = stack.refresh().processes["switch-0"]
                arm(file, point)
                with trio.fail_after(REACHED_WITHIN_S):
                    while is_armed(file) or before == stack.refresh().processes.get("switch-0"):
                        await trio.sleep(0.02)
                assert shop.under_way > 0, point
            trade.cancel_scope.cancel()
        verdict = (await hear(stack, shop)).compared()
    assert verdict.holds, verdict.reasons
    assert shop.counts.ended == shop.counts.begun > RATE_PER_S
    assert stack.exit_code == 0
