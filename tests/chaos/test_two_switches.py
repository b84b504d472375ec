"""A stack of two switches under load: while one is away the other serves its merchants."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from stack.temporary import stack_in
from tests.support.whole_stack import QUIET, merchant_of

pytestmark = pytest.mark.chaos
RATE_PER_S = 150.0
BEFORE_S = 1.2  # longer than the slow card takes, so that the load is level
SERVED_WITHIN_S = 10.0  # by the other one, on a machine so busy that the load is more than it takes
# What recovery reads follows the payments as closely as it can.
CLOSE = {"switch.lease_heartbeat_s": "0.1", "switch.lease_mark_lag_s": "0"}


async def test_switches_killed_in_turn(open_tmp_path: Path) -> None:
    """Nothing is lost or doubled, and new payments go through before the dead one is back."""
    async with (
        stack_in(open_tmp_path, {**QUIET, **CLOSE, "switch.processes": "2"}) as stack,
        merchant_of(stack) as whole,
    ):
        await whole.pay_well(within_s=20)
        async with whole.load(RATE_PER_S) as load:
            for name in ("switch-0", "switch-1", "switch-0"):
                await trio.sleep(BEFORE_S)
                assert load.charging > 0
                killed = whole.kill(name)
                await whole.pay_well(within_s=SERVED_WITHIN_S)
                await whole.back(name, instead_of=killed)
        assert len(load.told) == load.started
        await whole.prove()
    assert stack.exit_code == 0
