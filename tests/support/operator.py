"""A person who runs the commands for operators against a ledger alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from click.testing import CliRunner, Result

from ledger.deciding.records import NewAttempt, Plan, SafRow
from ledger.deciding.views import read_views
from ledger.ids import public_id
from ledger.roles import ROLES
from stack.database import PASSWORDS_FILE
from stack.endpoints import FILE, APIEndpoint, Endpoints
from tests.support.deciding import Decide, attempt, saf_row
from tests.support.logs import logging_restored
from tests.support.postgres import password_of
from turnout import main

if TYPE_CHECKING:
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness


class Operator:
    """A person at the keyboard of a machine whose stack is that ledger alone.

    Args:
        ledger: the stack's only part.
        data_dir: an empty folder, which gets what commands look for.
        command: what `run` runs, such as `saf`.
    """

    def __init__(self, ledger: LedgerHarness, data_dir: Path, command: str) -> None:
        self.ledger = ledger
        self._command = command
        self._words = ["--data-dir", str(data_dir), "--set", f"ledger.url={ledger.dsn.superuser}"]
        endpoints = Endpoints(
            pid=os.getpid(),
            api=APIEndpoint(url=""),
            metrics={},
            networks={},
            sockets={},
            processes={},
        )
        (data_dir / FILE).parent.mkdir()
        (data_dir / FILE).write_bytes(msgspec.json.encode(endpoints))
        passwords = {role: password_of(role) for role in ROLES}
        (data_dir / PASSWORDS_FILE).write_bytes(msgspec.json.encode(passwords))

    async def run(self, *words: str) -> Result:
        """Run `turnout COMMAND WORDS`."""
        return await trio.to_thread.run_sync(self._run, words)

    def _run(self, words: tuple[str, ...]) -> Result:
        with logging_restored():
            environ = {"XDG_CONFIG_HOME": "/nonexistent"}
            return CliRunner().invoke(main, [self._command, *words, *self._words], env=environ)

    async def json(self, *words: str) -> Any:
        """The document that a command prints."""
        done = await self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    async def refused(self, *words: str) -> str:
        """What a command says that ends with status 1, on stderr and nowhere else."""
        done = await self.run(*words)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        return done.stderr

    async def queued(
        self, row: ChargeToRecord, kind: str = "release", **changes: Any
    ) -> tuple[str, NewAttempt]:
        """An advice of an intent in the queue: its public id and its message."""
        message = attempt(row.transaction_id, kind)
        plan = Plan(attempts=[message], saf_add=[saf_row(message, **changes)])
        await self.ledger.decisions.run([Decide(row.intent_id, lambda _: plan)])
        return public_id("att", message.attempt_id), message

    async def row(self, of: ChargeToRecord) -> SafRow:
        """The advice of an intent as the switch will find it."""
        [row] = (await read_views(self.ledger.superuser, [of.intent_id]))[of.intent_id].saf
        return row
