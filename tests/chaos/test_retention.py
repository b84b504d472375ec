"""Archived segments leave the stream of a stack that takes payments, whatever dies on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from chassis.crash_points import TRIM_POINTS, arm, disarm
from ledger.stream.segments.files import list_segments, shard_folder
from ledger.stream.segments.trim import read_head
from stack.temporary import TemporaryStack
from tests.support.whole_audit import OVERRIDES, work
from tests.support.whole_stack import WholeStack, merchant_of, running_in_thread

ROOT = Path(__file__).parents[2]
CAUGHT_UP_WITHIN_S = 60.0
SEGMENTS = 6
CHECKING = "postings.check_intents_per_s=1000000"
RUN = ("archive", "run", "--set", "archive.stream_days=1e-9", "--set", CHECKING)


@pytest.fixture(scope="module")
def stack() -> Iterator[TemporaryStack]:
    """A stack with some sealed segments, whose checker is not slower than its payments."""
    setting, value = CHECKING.split("=")
    overrides = {**OVERRIDES, setting: value, "postings.check_interval_s": "0.05"}
    with running_in_thread(overrides) as stack:
        while len(list_segments(shard_folder(stack.data_dir, 0))) < SEGMENTS:
            trio.run(work, stack)
        yield stack


@pytest.fixture
async def whole(stack: TemporaryStack) -> Any:
    """A merchant of this test's own."""
    async with merchant_of(stack) as whole:
        yield whole


async def _turnout(stack: TemporaryStack, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "turnout", *words, "--data-dir", str(stack.data_dir), "--json"]
    run = partial(
        subprocess.run, line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    return await trio.to_thread.run_sync(run)


async def test_segments_go_under_load_and_every_death_is_taken_up(
    stack: TemporaryStack, whole: WholeStack, tmp_path: Path
) -> None:
    """Payments and consumers go on, nothing is lost, and all of it is proved from the archive."""
    folder = shard_folder(stack.data_dir, 0)
    armed = tmp_path / "crash"
    disarm(armed)
    async with whole.load(50.0) as load:
        for number, point in enumerate(TRIM_POINTS):
            arm(armed, point)
            with trio.fail_after(CAUGHT_UP_WITHIN_S):
                while True:
                    killed = await _turnout(
                        stack, *RUN, "--set", f"testing.crash_point_file={armed}"
                    )
                    if killed.returncode == -signal.SIGKILL:
                        break
                    assert killed.returncode == 0, killed.stderr
                    assert "still needs the stream" in json.loads(killed.stdout)["stream"]["kept"]
            assert len(list_segments(folder)) >= SEGMENTS - number - 1
        done = await _turnout(stack, *RUN)
        assert done.returncode == 0, done.stderr
    assert load.statuses()["succeeded"]
    head = read_head(folder)
    assert head is not None
    assert list_segments(folder)[0] == head.first_offset
    await whole.pay_well(within_s=20)
    document = json.loads((await _turnout(stack, "audit", "verify", "all", "--archive")).stdout)
    assert document["ok"], document["findings"]
    assert (document["archived"]["unread"], document["database"]["compared"]) == (0, True)
    alone = json.loads((await _turnout(stack, "audit", "verify", "all")).stdout)
    assert (alone["ok"], alone["archived"]["unread"]) == (True, head.first_offset)
