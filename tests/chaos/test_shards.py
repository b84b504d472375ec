"""A stack of two shards under load: what happens to one does not happen to the other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from benchmarks.shards import home, merchants_on_each
from chassis.shard_names import unit_key
from stack.temporary import TemporaryStack, stack_in
from tests.support.whole_stack import QUIET, WholeStack, merchant_of

pytestmark = pytest.mark.chaos
APPROVED = "4242424242424242"
HASTE = {"supervisor.restart_max_s": "1"}
RATE_PER_S = 40.0  # of each merchant
BEFORE_S = 1.2  # longer than the slow card takes, so that the load is level
AWAY_S = 4.0  # longer than Postgres takes to come back by itself
# The machine is busy with two stacks' work, and one payment in ten takes a second by itself.
SERVED_AT_LEAST = 0.5 * RATE_PER_S * AWAY_S
LOOK_S = 0.02


async def _keep_dead(whole: WholeStack, seconds: float) -> int:
    """End a shard's Postgres, and every one that takes its place; returns the first one's id."""
    first = whole.kill(unit_key("postgres", whole.shard or 0))
    pid_file = whole.home.data_dir / "postgres" / "data" / "postmaster.pid"
    with trio.move_on_after(seconds):
        while True:
            with contextlib.suppress(OSError, ValueError, IndexError):
                process_id = int(pid_file.read_text().splitlines()[0])
                if process_id != first:
                    os.kill(process_id, signal.SIGKILL)
            await trio.sleep(LOOK_S)
    return first


async def _outlive(first: WholeStack, second: WholeStack) -> None:
    """Under load on two shards, end the Postgres of the second one and keep it away."""
    async with first.load(RATE_PER_S) as spared, second.load(RATE_PER_S) as hit:
        await trio.sleep(BEFORE_S)
        served = len(spared.told)
        killed = await _keep_dead(second, AWAY_S)
        served_meanwhile = len(spared.told) - served
        waiting = hit.unanswered
        await second.back(unit_key("postgres", second.shard or 0), instead_of=killed)
        await second.pay_well(within_s=20)
    assert served_meanwhile > SERVED_AT_LEAST
    assert waiting > SERVED_AT_LEAST  # the ledger was away indeed
    assert all(len(load.told) == load.started for load in (spared, hit))


async def test_the_postgres_of_each_shard_is_killed(open_tmp_path: Path) -> None:
    """Payments of the other shard go on meanwhile; nothing is lost or doubled on either."""
    async with stack_in(open_tmp_path, {**QUIET, **HASTE, "shards.count": "2"}) as stack:
        of_first, of_second = await merchants_on_each(stack, 2)
        async with (
            merchant_of(stack, of_first, shard=0) as first,
            merchant_of(stack, of_second, shard=1) as second,
        ):
            await first.pay_well(within_s=20)
            await second.pay_well(within_s=20)
            await _outlive(first, second)
            await _outlive(second, first)  # where merchants and keys are, too
            for whole in (first, second):
                await whole.prove()
                await whole.prove_stream()
    assert stack.exit_code == 0


def _move(stack: TemporaryStack) -> None:
    """Have the demo shop's new payments go to shard 1."""
    words = ["shards", "move", stack.credentials().merchant, "--to", "1"]
    command = [sys.executable, "-P", "-m", "turnout", *words, "--data-dir", str(stack.data_dir)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


async def test_a_stack_grows_by_a_shard(open_tmp_path: Path) -> None:
    """A merchant is moved to a shard that is added; what it paid before stays where it is."""
    async with stack_in(open_tmp_path, QUIET) as stack, merchant_of(stack) as whole:
        before = await whole.pay(APPROVED)
    assert stack.exit_code == 0
    async with (
        stack_in(open_tmp_path, {**QUIET, "shards.count": "2"}) as stack,
        merchant_of(stack, shard=1) as whole,
    ):
        assert home((await whole.shop.create_payment_intent(100, "usd")).id) == 0
        await trio.to_thread.run_sync(_move, stack)
        after = await whole.pay(APPROVED)
        assert (home(before.payment_intent), home(after.payment_intent)) == (0, 1)
        await whole.prove()
        await whole.prove_stream()
        assert (await whole.shop.refund(before.payment_intent)).status == "succeeded"
        page = await whole.shop.list_payment_intents()
        found = {intent.id: intent.status for intent in page.intents}
        assert next(iter(found)) == after.payment_intent
        assert found[before.payment_intent] == found[after.payment_intent] == "succeeded"
    assert stack.exit_code == 0
