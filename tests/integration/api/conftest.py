"""Fixtures of the api's integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.api import RunningAPI, running_api
from tests.support.postgres import LedgerDSN


@pytest.fixture
async def api(ledger_dsn: LedgerDSN) -> AsyncIterator[RunningAPI]:
    """An api in test mode with a merchant of this test's own."""
    async with running_api(ledger_dsn) as running:
        yield running
