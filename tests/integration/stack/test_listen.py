"""Webhooks of a whole stack: `turnout trigger` pays, `turnout listen` has a program here told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result
from standardwebhooks.webhooks import Webhook

from stack.commands.trigger import TYPES
from stack.temporary import TemporaryStack, temporary_stack
from stack.triggering import TRIGGERS
from tests.support.logs import logging_restored
from tests.support.webhooks import Receiver, receiving
from turnout import main

HEARD = ("authorized", "payment_failed", "canceled", "refunded")  # one of each way to pay
QUIET = {"log.level": "warning"}
KEPT = {name: value for name, value in os.environ.items() if not name.startswith("MERCHANT_")}


def _run(stack: TemporaryStack, *words: str) -> Result:
    with logging_restored():
        command = [*words, "--data-dir", str(stack.data_dir)]
        return CliRunner().invoke(main, command, env={"XDG_CONFIG_HOME": "/nonexistent"})


async def trigger(stack: TemporaryStack, type_: str) -> dict[str, Any]:
    """Make a payment that comes to an event."""
    done = await trio.to_thread.run_sync(partial(_run, stack, "trigger", type_, "--json"))
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def heard(receiver: Receiver, type_: str, intent: str) -> dict[str, str]:
    """Wait for an event of a payment; its headers."""
    with trio.fail_after(20):
        while True:
            for one in receiver.heard:
                event = json.loads(one.body)
                if (event["type"], event["data"]["id"]) == (type_, intent):
                    return one.headers
            await trio.sleep(0.05)


def test_the_command_knows_every_payment() -> None:
    """Its types are those that something is made for."""
    assert set(TYPES) == set(TRIGGERS)


@pytest.mark.slow
async def test_what_is_triggered_is_heard(tmp_path: Path) -> None:
    """By payments that come to it; signed, shown, and over when listening ends."""
    async with temporary_stack(QUIET) as stack, receiving() as receiver:
        command = [sys.executable, "-P", "-m", "turnout", "listen", "--forward", receiver.url]
        command += ["--data-dir", str(stack.data_dir)]
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            start = partial(subprocess.Popen, command, stdout=out, stderr=err, env=KEPT)
            listening = await trio.to_thread.run_sync(start)
        try:
            with trio.fail_after(20):
                while "signing secret: " not in (tmp_path / "err").read_text():
                    await trio.sleep(0.05)
                    assert listening.poll() is None
            secret = (tmp_path / "err").read_text().partition("signing secret: ")[2].strip()
            for type_ in HEARD:
                document = await trigger(stack, type_)
                assert document["type"] == f"payment_intent.{type_}"
                await heard(receiver, document["type"], document["intent"])
            for one in receiver.heard:
                assert Webhook(secret).verify(one.body, one.headers)["id"]
            with trio.fail_after(20):
                while "payment_intent.refunded" not in (tmp_path / "out").read_text():
                    await trio.sleep(0.05)
        finally:
            listening.send_signal(signal.SIGINT)
            await trio.to_thread.run_sync(listening.wait)
        assert listening.returncode == 0
        shown = await trio.to_thread.run_sync(partial(_run, stack, "webhooks", "list", "--json"))
        assert json.loads(shown.stdout)["endpoints"] == []
        refused = await trio.to_thread.run_sync(
            partial(_run, stack, "listen", "--forward", "http://10.0.0.1/")
        )
        assert refused.exit_code == 1
        assert "422" in refused.stderr
        wrong = await trio.to_thread.run_sync(partial(_run, stack, "trigger", "payout.paid"))
        assert wrong.exit_code == 2
