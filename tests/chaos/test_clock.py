"""The clock stepped under load: forward, back, and back to before the stack began."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import trio

from chassis.clock import write_offset
from stack.temporary import stack_in
from tests.support.whole_stack import QUIET, Load, WholeStack, merchant_of
from turnout_client.on_trio import TrioTurnout

pytestmark = pytest.mark.chaos
RATE_PER_S = 100.0
SILENT = "4000000000006801"  # approved, and not answered; an inquiry says so
DOUBTS = 10
RESOLVED_WITHIN_S = 8.0  # the first question comes after one second, the last after eight
HOUR_S = 3_600
NUMBERS_SQL = """
SELECT count(*), count(DISTINCT (network, acquirer_id, de7, stan)),
    count(*) FILTER (WHERE kind = 'request'),
    count(DISTINCT (network, rrn)) FILTER (WHERE kind = 'request')
FROM attempts
"""


def _clocks(shop: TrioTurnout, offset_file: Path) -> Callable[[int], None]:
    """Step the clocks of the stack and of its merchant, as a time server would both."""

    def step(offset_s: int) -> None:
        write_offset(offset_file, offset_s * 1_000_000)
        shop._core.now = lambda: datetime.now(UTC) + timedelta(seconds=offset_s)

    return step


def _not_ready(whole: WholeStack) -> set[str]:
    """What keeps the api from taking requests, as `/readyz` has it."""
    url = whole.stack.endpoints.metrics["api"].replace("/metrics", "/readyz")
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
    checks = msgspec.json.decode(body)["checks"]
    return {name for name, is_well in checks.items() if not is_well}


async def _resolved(whole: WholeStack, load: Load) -> None:
    with trio.fail_after(RESOLVED_WITHIN_S):
        while await whole.doubts(load):
            await trio.sleep(0.05)
    for answer in load.told:
        assert (await whole.shop.retrieve(answer.intent)).status == "succeeded"


async def test_doubts_end_in_their_time_whatever_the_clock_says(open_tmp_path: Path) -> None:
    """Stepped while they are open, forward and back, and before a new switch takes them up."""
    offset_file = open_tmp_path / "clock"
    write_offset(offset_file, 0)
    settings = {**QUIET, "testing.clock_offset_file": str(offset_file)}
    async with stack_in(open_tmp_path, settings) as stack, merchant_of(stack) as whole:
        step = _clocks(whole.shop, offset_file)
        await whole.pay_well(within_s=20)
        for offset_s, restarts in ((HOUR_S, False), (0, False), (HOUR_S, True), (0, True)):
            load = Load()
            async with trio.open_nursery() as payments:
                for _ in range(DOUBTS):
                    payments.start_soon(whole.pay, SILENT, load)
            assert load.statuses() == {"pending_verification": DOUBTS}
            step(offset_s)
            if restarts:
                await whole.back("switch-0", instead_of=whole.kill("switch-0"))
                await whole.pay_well(within_s=20)
            await _resolved(whole, load)
        await whole.prove()


async def test_a_stepped_clock_changes_no_payment(open_tmp_path: Path) -> None:
    """An hour either way: nothing becomes unknown, and no number is used twice, restart or not."""
    offset_file = open_tmp_path / "clock"
    write_offset(offset_file, 0)
    settings = {**QUIET, "testing.clock_offset_file": str(offset_file)}
    async with stack_in(open_tmp_path, settings) as stack, merchant_of(stack) as whole:
        step = _clocks(whole.shop, offset_file)
        await whole.pay_well(within_s=20)
        async with whole.load(RATE_PER_S) as load:
            for offset_s in (HOUR_S, 0):
                await trio.sleep(1.2)
                assert load.charging > 0
                step(offset_s)
                await whole.pay_well(within_s=20)
        assert load.statuses().keys() == {"succeeded", "failed"}
        assert await trio.to_thread.run_sync(_not_ready, whole) == set()
        async with whole.load(RATE_PER_S):
            await trio.sleep(1.2)
            step(-HOUR_S)  # before the api's memory of nonces begins
            assert await trio.to_thread.run_sync(_not_ready, whole) == {"clock"}
            for name in ("switch-0", "api"):  # both start an hour before their own past
                await whole.back(name, instead_of=whole.kill(name))
            await whole.pay_well(within_s=20)
        agreement = await whole.prove()
        ((messages, transmissions, requests, references),) = whole.query(NUMBERS_SQL)
    assert messages == transmissions
    assert requests == references == agreement.held
