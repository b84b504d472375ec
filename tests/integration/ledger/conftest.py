"""Fixtures of the ledger's integration tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.ledger import LedgerHarness, open_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.postgres import LedgerDSN


@pytest.fixture
async def ledger(ledger_dsn: LedgerDSN) -> AsyncIterator[LedgerHarness]:
    """A ledger with a merchant and a lease of this test's own."""
    async with open_ledger(ledger_dsn) as harness:
        yield harness
