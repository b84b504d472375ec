"""Fixtures of the ledger's integration tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.ledger import LedgerHarness, open_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ledger.connection import Connection
    from tests.support.postgres import LedgerDSN


@pytest.fixture
async def ledger(ledger_dsn: LedgerDSN) -> AsyncIterator[LedgerHarness]:
    """A ledger with a merchant and a lease of this test's own."""
    async with open_ledger(ledger_dsn) as harness:
        yield harness


@pytest.fixture
async def admin(ledger: LedgerHarness) -> Connection:
    """A session with an operator's rights."""
    return await ledger.session("turnout_admin")


@pytest.fixture
async def switch(ledger: LedgerHarness) -> Connection:
    """A session with the switch's rights."""
    return await ledger.connect()
