"""Two shards on one machine: two ledgers under one api, each with all that works on it."""

from __future__ import annotations

import json
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from click.testing import CliRunner, Result

from benchmarks.shards import merchants_on_each
from ledger.roles import ROLES
from stack.database import PASSWORDS_FILE
from stack.temporary import TemporaryStack, TemporaryStackError, stack_in
from tests.support.logs import logging_restored
from tests.support.postgres import PostgresServer, password_of
from tests.support.whole_stack import merchant_of
from turnout import main

TWO = {"log.level": "warning", "shards.count": "2"}
COLUMN = {"postgres", "switch-0", "relay", "audit", "witness", "postings", "webhooks"}
SHARED = {"hsm-0", "vsim", "msim", "api"}
SIGNED_ON_WITHIN_S = 20.0


def _turnout(stack: TemporaryStack, *words: str) -> Result:
    with logging_restored():
        return CliRunner().invoke(
            main,
            [*words, "--data-dir", str(stack.data_dir)],
            env={"XDG_CONFIG_HOME": "/nonexistent"},
        )


async def _document(stack: TemporaryStack, *words: str) -> Any:
    done = await trio.to_thread.run_sync(partial(_turnout, stack, *words, "--json"))
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def _links_up(url: str) -> list[str]:
    """How many of the links of each network take messages, of those there are."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return [line.split()[1] for line in lines if line.startswith("turnout_switch_links_up_ratio{")]


async def _pay_on_each(stack: TemporaryStack) -> None:
    """Pay on both shards; what merchant, ledger and networks say of each agrees."""
    for shard, merchant in enumerate(await merchants_on_each(stack, 2)):
        async with merchant_of(stack, merchant, shard=shard) as whole:
            await whole.pay_well(within_s=20)
            agreement = await whole.prove()
        assert (agreement.held, agreement.carried) == (2, 3)  # msim takes two messages


async def test_two_shards_run_side_by_side(open_tmp_path: Path) -> None:
    """Both switches sign on and pay, each ledger has its followers, and commands find either."""
    async with stack_in(open_tmp_path, TWO) as stack:
        assert stack.endpoints.processes.keys() == SHARED | COLUMN | {f"{n}@1" for n in COLUMN}
        with trio.fail_after(SIGNED_ON_WITHIN_S):
            for key in ("switch-0", "switch-0@1"):
                while _links_up(stack.endpoints.metrics[key]) != ["1.0", "1.0"]:
                    await trio.sleep(0.05)
        await _pay_on_each(stack)
        for shard in ("0", "1"):
            relay = await _document(stack, "relay", "status", "--shard", shard)
            assert (relay["slot"], relay["running"]) == (f"turnout_relay_{shard}", True)
            await _document(stack, "exceptions", "list", "--shard", shard)
        logs = {(await _document(stack, "audit", "keys", "--shard", s))["log"] for s in ("0", "1")}
        assert len(logs) == 2
        own = stack.of_shard(1)
        assert own.endpoints.processes["relay"] == stack.endpoints.processes["relay@1"]
        assert own.endpoints.sockets["switch"] == stack.endpoints.sockets["switch@1"]
        refused = await trio.to_thread.run_sync(
            partial(_turnout, stack, "relay", "status", "--shard", "2")
        )
        assert (refused.exit_code, "has shards 0 to 1" in refused.stderr) == (2, True)
    assert stack.exit_code == 0
    assert not (own.data_dir / "run" / "endpoints.json").exists()
    with pytest.raises(
        TemporaryStackError, match=r"(?s)status 3.*has 2 shards, and 1 would.*shards 2"
    ):
        async with stack_in(open_tmp_path):
            raise AssertionError("a ledger was left out")


async def test_two_ledgers_elsewhere_are_used(
    open_tmp_path: Path, postgres: PostgresServer
) -> None:
    """Each shard has its database, of one server even; commands find those that are there."""
    data_dir = open_tmp_path / "data"
    data_dir.mkdir()
    # Roles belong to the whole server, which other tests use: keep their passwords.
    passwords = {role: password_of(role) for role in ROLES}
    (data_dir / PASSWORDS_FILE).write_bytes(msgspec.json.encode(passwords))
    databases = [await trio.to_thread.run_sync(postgres.create_database) for _ in range(2)]
    urls = ",".join(database.superuser for database in databases)
    async with stack_in(open_tmp_path, TWO | {"shards.database_urls": urls}) as stack:
        assert not {"postgres", "postgres@1"} & stack.endpoints.processes.keys()
        elsewhere = ["--set", "shards.count=2", "--set", f"shards.database_urls={urls}"]
        relay = await _document(stack, "relay", "status", "--shard", "1", *elsewhere)
        assert (relay["slot"], relay["running"]) == ("turnout_relay_1", True)
        lost = await trio.to_thread.run_sync(
            partial(_turnout, stack, "relay", "status", "--shard", "1")
        )
        assert (lost.exit_code, "set ledger.url (or shards.database_urls)" in lost.stderr) == (
            3,
            True,
        )
        away = databases[1].database
        await postgres.administer(f"ALTER DATABASE {away} ALLOW_CONNECTIONS false")
        done = await trio.to_thread.run_sync(
            partial(_turnout, stack, "relay", "status", "--shard", "all", "--json", *elsewhere)
        )
        await postgres.administer(f"ALTER DATABASE {away} ALLOW_CONNECTIONS true")
        assert done.exit_code == 3
        here, there = json.loads(done.stdout)["shards"]
        assert (here["answer"]["slot"], there["answer"]) == ("turnout_relay_0", None)
    assert stack.exit_code == 0
    await postgres.drop_slots()
