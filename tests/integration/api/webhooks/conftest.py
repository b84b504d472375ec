"""Fixtures of webhooks' integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.ledger import open_ledger
from tests.support.postgres import LedgerDSN
from tests.support.webhooks import Told, telling


@pytest.fixture
async def told(ledger_dsn: LedgerDSN, tmp_path: Path) -> AsyncIterator[Told]:
    """Nothing told yet."""
    async with open_ledger(ledger_dsn) as ledger, telling(ledger, tmp_path) as found:
        yield found
