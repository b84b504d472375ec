"""`turnout shards` on a stack of two: payments before and after a move, and what is told."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import trio
from click.testing import CliRunner, Result

from ledger.ids import parse_id, shard_of
from ledger.shards.buckets import BUCKETS
from stack.temporary import TemporaryStack, stack_in
from tests.support.logs import logging_restored
from turnout import main

TWO = {"log.level": "warning", "shards.count": "2"}
BOOKED_WITHIN_S = 20.0


def _turnout(stack: TemporaryStack, *words: str) -> Result:
    with logging_restored():
        return CliRunner().invoke(
            main,
            [*words, "--data-dir", str(stack.data_dir)],
            env={"XDG_CONFIG_HOME": "/nonexistent"},
        )


async def _run(stack: TemporaryStack, *words: str) -> Result:
    return await trio.to_thread.run_sync(partial(_turnout, stack, *words))


async def _document(stack: TemporaryStack, *words: str) -> Any:
    done = await _run(stack, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


async def _merchant_of(stack: TemporaryStack, shard: int, save: Path) -> str:
    """A merchant whose payments go to a shard; its keys are saved."""
    while True:
        words = ("merchants", "create", "--name", "Shop", "--save", str(save))
        merchant: str = (await _document(stack, *words))["merchant"]
        place = (await _document(stack, "shards", "status", merchant))["merchant"]
        if place["shard"] == shard:
            return merchant


async def _pay(stack: TemporaryStack, keys: Path) -> int:
    """Pay, and say on which shard the payment is."""
    paid = await _document(stack, "pay", "--wait", "--credentials", str(keys))
    return shard_of(parse_id("pi", paid["intent"]))


async def test_a_merchant_pays_before_and_after_a_move(open_tmp_path: Path) -> None:
    """Both payments go through, each on its shard; books and status tell of both."""
    keys = open_tmp_path / "keys.json"
    async with stack_in(open_tmp_path, TWO) as stack:
        status = await _document(stack, "shards", "status")
        assert [one["buckets"] for one in status["shards"]] == [BUCKETS // 2] * 2
        assert [one["open"] for one in status["shards"]] == [BUCKETS // 2] * 2
        assert (status["waiting"], status["moving"], status["faults"]) == (0, [], [])
        merchant = await _merchant_of(stack, 1, keys)
        assert await _pay(stack, keys) == 1
        words = ("shards", "move", merchant, "--to", "0", "--operator", "ada", "--note", "less")
        assert (await _document(stack, *words))["moved"] == 1
        assert await _pay(stack, keys) == 0
        status = await _document(stack, "shards", "status", merchant)
        assert (status["merchant"]["shard"], status["merchant"]["holders"]) == (0, [0, 1])
        assert (status["moves"][0]["operator"], status["moves"][0]["note"]) == ("ada", "less")
        again = await _run(stack, *words)
        assert (again.exit_code, "all on that shard" in again.stderr) == (1, True)
        wrong = await _run(stack, "shards", "move", "9999", "--to", "0")
        assert (wrong.exit_code, "buckets are 0 to 4095" in wrong.stderr) == (2, True)
        spread = await _document(stack, "shards", "spread")
        assert spread["moved"] == 1
        await _books_balance(stack, merchant)
    assert stack.exit_code == 0


async def _books_balance(stack: TemporaryStack, merchant: str) -> None:
    """Once both shards have booked: the sum is what each says, and each balances."""
    with trio.fail_after(BOOKED_WITHIN_S):
        while True:
            books = await _document(stack, "ledger", "balance", merchant)
            if all(one["balances"] for one in books["shards"]):
                break
            await trio.sleep(0.1)
    [total] = books["balances"]
    parts = [one["balances"][0]["amounts"]["merchant_pending"] for one in books["shards"]]
    assert parts == [2499, 2499]
    assert total["amounts"]["merchant_pending"] == 4998
    trial = await _document(stack, "ledger", "trial-balance", "--full")
    assert trial["balanced"]
    assert [one["balanced"] for one in trial["shards"]] == [True, True]
    shown = await _run(stack, "ledger", "trial-balance")
    assert "shard 1:" in shown.stdout
    assert "shard" in (await _run(stack, "shards", "status")).stdout
