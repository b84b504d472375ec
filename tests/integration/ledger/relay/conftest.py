"""A database, a slot and a stream for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from ledger.connection import Connection
from tests.support.postgres import LedgerDSN
from tests.support.relay import LIMITS, RelayHarness


@pytest.fixture
async def relaying(fresh_ledger_dsn: LedgerDSN, tmp_path: Path) -> AsyncIterator[RelayHarness]:
    """A harness whose slot is gone afterwards."""
    slot = f"turnout_relay_{secrets.token_hex(4)}"
    limits = msgspec.structs.replace(LIMITS, slot=slot)
    superuser = await Connection.open(fresh_ledger_dsn.superuser, connect_timeout_s=10)
    harness = RelayHarness(fresh_ledger_dsn, tmp_path, slot, limits, superuser)
    try:
        yield harness
    finally:
        with trio.CancelScope(shield=True):
            await harness.drop_slot()
            await superuser.aclose()
