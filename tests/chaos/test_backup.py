"""The drill: back up under load, lose the ledger, restore it, start, compare all witnesses.

What was committed before the backup's end is there, told alike by merchant, ledger and networks.
What came later only the event stream knows; the relay sees that and waits for an operator's word.
A charge that was under way is asked about anew, and a capture that the lost ledger knew to be
posted is refused as one too many: that, too, is for an operator, who finds the first in the stream.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trio

from benchmarks.agreement import agree
from chaos.audited import verify_audit
from ledger.ids import parse_id
from stack.temporary import TemporaryStack, stack_in
from tests.support.whole_stack import (
    QUIET,
    UNATTENDED_SQL,
    WholeStack,
    everyday_card,
    merchant_of,
)

pytestmark = pytest.mark.chaos
RATE_PER_S = 60.0
BEFORE_S = 1.0
WITHIN_S = 30.0
ONE_IN = 20  # payments on the network that stands still: each is one command of an operator
BOOKED_WITHIN_S = 60.0  # an advice that no network has acknowledged is watched for half a minute


async def turnout(*words: str, data_dir: Path) -> dict[str, Any]:
    """What a command prints as JSON; its status is 0."""
    command = [sys.executable, "-P", "-m", "turnout", *words, "--json", "--data-dir", str(data_dir)]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def relay_says(data_dir: Path, state: str) -> dict[str, Any]:
    """Wait until the relay is in a state."""
    with trio.fail_after(WITHIN_S):
        while (status := await turnout("relay", "status", data_dir=data_dir))["state"] != state:
            await trio.sleep(0.2)
    return status


def seldom_dual(number: int) -> str:
    """The PAN of the n-th payment; few are on the network that posts with a second message."""
    return everyday_card(number) if number % ONE_IN == 1 else f"42424200{number:08d}"


async def backed_up_under_load(whole: WholeStack, folder: Path) -> dict[str, Any]:
    """Back up while payments are under way, some surely on msim; as many are made afterwards."""
    data_dir = whole.stack.data_dir
    async with whole.load(RATE_PER_S, seldom_dual) as load:
        await trio.sleep(BEFORE_S)
        with whole.stopped("msim"):
            await trio.sleep(ONE_IN / RATE_PER_S)
            assert load.charging > 0
            answered = list(load.told)
            document = await turnout("ledger", "backup", str(folder), data_dir=data_dir)
        await trio.sleep(BEFORE_S)
    assert len(load.told) == load.started > len(answered) > 0
    return {**document, "answered": answered}


def lose_the_ledger(stack: TemporaryStack) -> None:
    """As a disk does it that held the database alone."""
    shutil.rmtree(stack.data_dir / "postgres")
    (stack.data_dir / "postgres.password").unlink()


async def test_a_restored_ledger_is_told_from_the_one_that_was_lost(open_tmp_path: Path) -> None:
    """With the stream at hand: the relay refuses, is told to repair, and all goes on."""
    folder = open_tmp_path / "backup"
    async with stack_in(open_tmp_path, QUIET) as first, merchant_of(first) as whole:
        await whole.pay_well(within_s=WITHIN_S)
        done = await backed_up_under_load(whole, folder)
        assert done["stream"]["records"] > 0
        assert done["audit"]["checkpoint"]
    lose_the_ledger(first)
    restored = await turnout("ledger", "restore", str(folder), data_dir=first.data_dir)
    assert restored["timeline_now"] > restored["timeline"]
    async with stack_in(open_tmp_path, QUIET) as second, merchant_of(second) as later:
        await agreed_before(whole, second, done["answered"])
        status = await relay_says(second.data_dir, "refused")
        assert status["finding"] == "other_timeline"
        await later.pay_well(within_s=WITHIN_S)  # payments do not wait for that
        await turnout("relay", "repair", "--note", "the drill", data_dir=second.data_dir)
        await relay_says(second.data_dir, "streaming")
        await later.pay_well(within_s=WITHIN_S)
        assert await posted_before(later, restored["lost"]["from"]) > 0
        await later.rest()
        assert await booked(second.data_dir)
        parked = await turnout("stream", "parked", "list", data_dir=second.data_dir)
        assert not parked["parked"]
        await lost_and_told_apart(second.data_dir)
    audited = await trio.to_thread.run_sync(verify_audit, second.data_dir)
    assert audited.ok, audited
    assert second.exit_code == 0


async def posted_before(later: WholeStack, lost_from: int) -> int:
    """Settle captures that the network refuses because it has them; returns how many there were.

    Each is of a charge that was under way when the backup ended; the stream says that the same
    amount was posted for it by the ledger that was lost.
    """
    data_dir = later.stack.data_dir
    await later.rest(UNATTENDED_SQL)
    events = await trio.to_thread.run_sync(all_events, data_dir)
    lost = [event["after"] | {"table": event["table"]} for event in events[lost_from:]]
    captures = {row["id"] for row in lost if row["table"] == "attempts" and row["mti"] == "0220"}
    posted = {
        UUID(row["transaction_id"]).bytes
        for row in lost
        if row["table"] == "outcomes"
        and row["attempt_id"] in captures
        and row["result"] == "approved"
    }
    waiting = (await turnout("saf", "list", "--manual", data_dir=data_dir))["advices"]
    for advice in waiting:
        assert advice["purpose"] == "completion"
        assert parse_id("txn", advice["transaction"]) in posted
        words = ("saf", "resolve", advice["advice"], "approved", "--note", "posted before the loss")
        await turnout(*words, data_dir=data_dir)
    return len(waiting)


async def lost_and_told_apart(data_dir: Path) -> None:
    """Every row is as the stream says but for what the restore is known to have lost.

    No event of what came later has the id of one that was lost.
    """
    accepted = await turnout("audit", "verify", "db", "--accept-restores", data_dir=data_dir)
    (restore,) = accepted["restores"]
    assert restore["rows_lost"] > 0
    command = ["audit", "verify", "db", "--json", "--data-dir", str(data_dir)]
    done = await trio.run_process(
        [sys.executable, "-P", "-m", "turnout", *command], capture_stdout=True, check=False
    )
    named = json.loads(done.stdout)
    assert (done.returncode, [one["kind"] for one in named["findings"]]) == (1, ["restore"])
    events = await trio.to_thread.run_sync(all_events, data_dir)
    later = [event["id"] for event in events[restore["lost_until"] :]]
    assert len(later) == len(set(later))
    lost = range(restore["lost_from"], restore["lost_until"])
    same = {events[offset]["id"] for offset in lost} & set(later)
    # A booking that is made again, of the same event, is the same booking.
    assert {event["table"] for event in events if event["id"] in same} <= {"postings"}


def all_events(data_dir: Path) -> list[dict[str, Any]]:
    """The whole stream, as `turnout stream tail` prints it."""
    command = ["stream", "tail", "--from", "0", "--json", "--data-dir", str(data_dir)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "turnout", *command], check=True, capture_output=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


async def agreed_before(whole: WholeStack, stack: TemporaryStack, answered: list[Any]) -> None:
    """Merchant, restored ledger and networks say the same of what was answered before."""
    whole.stack = stack
    held, carried = await trio.to_thread.run_sync(whole.witnesses)
    intents = {told.intent for told in answered}
    known = [one for one in held if one.intent in intents]
    assert {one.intent for one in known} == intents
    rrns = {one.rrn for one in known}
    lines = [one for one in carried if one.rrn in rrns]
    agreement = agree(len(answered), answered, known, lines)
    assert agreement.holds, agreement


async def booked(data_dir: Path) -> bool:
    """Wait until every event is booked, and see the books balance."""
    with trio.fail_after(BOOKED_WITHIN_S):
        while True:
            stream = await turnout("stream", "status", data_dir=data_dir)
            if all(one["next_offset"] >= stream["records"] for one in stream["consumers"]):
                break
            await trio.sleep(0.2)
    trial = await turnout("ledger", "trial-balance", "--full", data_dir=data_dir)
    return bool(trial["balanced"])


async def test_with_the_stream_lost_too_a_new_one_begins_with_the_tables(
    open_tmp_path: Path,
) -> None:
    """Then every row is in it once, and the audit log begins anew with it."""
    folder = open_tmp_path / "backup"
    async with stack_in(open_tmp_path, QUIET) as first, merchant_of(first) as whole:
        await whole.pay_well(within_s=WITHIN_S)
        done = await backed_up_under_load(whole, folder)
    lose_the_ledger(first)
    for name in ("stream", "audit", "witness"):
        shutil.rmtree(first.data_dir / name)
    await turnout("ledger", "restore", str(folder), data_dir=first.data_dir)
    async with stack_in(open_tmp_path, QUIET) as second, merchant_of(second) as later:
        await agreed_before(whole, second, done["answered"])
        status = await relay_says(second.data_dir, "streaming")
        assert status["finding"] is None
        await later.pay_well(within_s=WITHIN_S)
        assert await booked(second.data_dir)
    assert second.exit_code == 0
