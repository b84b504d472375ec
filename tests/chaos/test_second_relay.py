"""Two relays of a whole stack under load: killed, they come to one root; tampered with, it is told.

The forger knows the format: the frame's CRC is made to fit.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import psycopg
import pytest
import trio
from click.testing import CliRunner

from benchmarks.workplace import reader_dsn
from ledger.comparison.tape import Piece, Tape
from ledger.stream.segments.files import shard_folder
from ledger.stream.segments.format import decode_frame_head
from stack.commands.relay import relay
from stack.temporary import TemporaryStack, stack_in
from tests.support.whole_stack import QUIET, WholeStack, merchant_of, running_in_thread

pytestmark = pytest.mark.chaos
RATE_PER_S = 200.0
BEFORE_S = 1.0
EQUAL_WITHIN_S = 20.0
TOLD_WITHIN_S = 5.0
# Relays that have not followed so far, and relays.
BEHIND_SQL = b"""
SELECT count(*) FILTER (WHERE confirmed_flush_lsn < %s), count(*)
FROM pg_replication_slots WHERE slot_type = 'logical'
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[TemporaryStack]:
    """A stack with two relays."""
    with running_in_thread({**QUIET, "relay.second": "true"}) as stack:
        yield stack


def _relay(stack: TemporaryStack, *arguments: str) -> tuple[int, Any]:
    command = [*arguments, "--json", "--data-dir", str(stack.data_dir)]
    done = CliRunner().invoke(relay, command)
    return done.exit_code, json.loads(done.stdout)


async def _compared(stack: TemporaryStack) -> Any:
    """The comparison once both streams have all that is committed now."""
    with psycopg.connect(reader_dsn(stack), autocommit=True) as session:
        [place] = session.execute(b"SELECT pg_current_wal_insert_lsn()").fetchall()
        with trio.fail_after(EQUAL_WITHIN_S):
            while session.execute(BEHIND_SQL, place).fetchall() != [(0, 2)]:
                await trio.sleep(0.1)
    _, found = await trio.to_thread.run_sync(_relay, stack, "compare")
    return found


@pytest.mark.parametrize("name", ["relay", "relay-2", "comparer"])
async def test_either_relay_may_die_under_load(whole: WholeStack, name: str) -> None:
    """No payment is lost or doubled, and both streams have the same root."""
    async with whole.load(RATE_PER_S):
        await trio.sleep(BEFORE_S)
        killed = whole.kill(name)
        await whole.back(name, instead_of=killed)
        await trio.sleep(BEFORE_S)
    await whole.prove()
    await whole.prove_stream()
    found = await _compared(whole.stack)
    assert (found["ok"], found["differences"]) == (True, [])
    assert found["compared"] > RATE_PER_S
    assert len(found["gaps"]) == 1
    url = whole.stack.refresh().metrics["comparer"]
    with trio.fail_after(EQUAL_WITHIN_S):
        while not await trio.to_thread.run_sync(_has_compared, url):
            await trio.sleep(0.1)


async def test_the_second_relay_shows_how_it_stands(whole: WholeStack) -> None:
    """Its own slot, and a process that runs."""
    exit_code, shown = await trio.to_thread.run_sync(_relay, whole.stack, "status", "--second")
    assert (exit_code, shown["slot"], shown["running"]) == (0, "turnout_relay_second_0", True)
    assert shown["server"]["in_use"]


def _newest(folder: Path) -> Piece:
    tape = Tape(folder, 0)
    newest = None
    with contextlib.closing(tape):
        while (piece := tape.read()) is not None:
            newest = piece if piece.records else newest
    assert newest is not None
    return newest


def _forge(piece: Piece) -> None:
    """Change the last byte of a batch's last record; the CRC is made to fit."""
    data = bytearray(piece.path.read_bytes())
    at = piece.place.at
    size = decode_frame_head(data, at).size
    data[at + size - 1] ^= 1
    data[at + 8 : at + 12] = google_crc32c.value(bytes(data[at + 12 : at + size])).to_bytes(4)
    with piece.path.open("r+b") as file:
        file.seek(at)
        file.write(data[at : at + size])


def _has_compared(url: str) -> bool:
    """Whether the comparer has compared anything, and waits for nothing."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    series = dict(line.split() for line in lines if line.startswith("turnout_comparer_"))
    return (
        float(series["turnout_comparer_records_total"]) > 0
        and float(series["turnout_comparer_waiting_alarm_ratio"]) == 0
        and float(series["turnout_comparer_differences_total"]) == 0
    )


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url.replace("/metrics", "/readyz"), timeout=5):
            return True
    except urllib.error.HTTPError:
        return False


async def test_a_forged_record_is_told_within_seconds(whole: WholeStack) -> None:
    """By the log, by `/readyz` and by a whole comparison, with row and both places."""
    url = whole.stack.refresh().metrics["comparer"]
    assert await trio.to_thread.run_sync(_is_ready, url)
    second = shard_folder(whole.stack.data_dir / "second", 0)
    with whole.stopped("comparer"):
        known = _newest(second)
        await whole.pay_well(within_s=20)
        with trio.fail_after(EQUAL_WITHIN_S):
            while (forged := _newest(second)).place == known.place:
                await trio.sleep(0.05)
        _forge(forged)
    offset = forged.first_offset + len(forged.records) - 1
    with trio.fail_after(TOLD_WITHIN_S):
        while "streams_differ" not in whole.stack.log_file.read_text():
            await trio.sleep(0.05)
    assert not await trio.to_thread.run_sync(_is_ready, url)
    exit_code, found = await trio.to_thread.run_sync(_relay, whole.stack, "compare")
    (one,) = found["differences"]
    assert (exit_code, one["kind"], one["second_offset"]) == (1, "bytes", offset)
    assert one["second"] == forged.where(len(forged.records) - 1)
    assert one["first"].startswith(str(shard_folder(whole.stack.data_dir, 0)))
    assert "intent_id=" in one["row"] or " id=" in one["row"]


async def _turnout(data_dir: Path, *arguments: str) -> Any:
    """Run a command as an operator does; what `--json` printed."""
    command = [sys.executable, "-P", "-m", "turnout", *arguments, "--json"]
    done = await trio.run_process([*command, "--data-dir", str(data_dir)], capture_stdout=True)
    return json.loads(done.stdout)


async def _agree_to_repair(data_dir: Path, *which: str) -> None:
    """Once a relay has seen that this is another ledger, tell it that this is meant."""
    for wanted in ("refused", "streaming"):
        with trio.fail_after(EQUAL_WITHIN_S):
            while (await _turnout(data_dir, "relay", "status", *which))["state"] != wanted:
                await trio.sleep(0.1)
        if wanted == "refused":
            await _turnout(data_dir, "relay", "repair", *which, "--note", "the drill")


async def test_both_streams_follow_a_restored_ledger(open_tmp_path: Path) -> None:
    """Each relay is told to repair; then both have the same, and all goes on by one root."""
    settings = {**QUIET, "relay.second": "true"}
    async with stack_in(open_tmp_path, settings) as first, merchant_of(first) as whole:
        await whole.pay_well(within_s=20)
        await _turnout(first.data_dir, "ledger", "backup", str(open_tmp_path / "backup"))
        await whole.pay_well(within_s=20)
        await _compared(first)
    data_dir = first.data_dir
    shutil.rmtree(data_dir / "postgres")
    (data_dir / "postgres.password").unlink()
    await _turnout(data_dir, "ledger", "restore", str(open_tmp_path / "backup"))
    async with stack_in(open_tmp_path, settings) as second, merchant_of(second) as later:
        await _agree_to_repair(data_dir)
        await later.pay_well(within_s=20)
        await _agree_to_repair(data_dir, "--second")
        await later.pay_well(within_s=20)
        found = await _compared(second)
    assert (found["ok"], found["differences"]) == (True, [])
    assert [one["compared"] for one in found["gaps"]] == [True, True]
    assert len(found["ranges"]) == 2
