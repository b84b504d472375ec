"""Two ledgers as the shards of one installation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from tests.support.postgres import LedgerDSN, PostgresServer
from tests.support.shards import ShardsHarness, open_shards


@pytest.fixture(scope="module")
def founded_dsns(postgres: PostgresServer) -> list[LedgerDSN]:
    """Two ledgers of one installation, half of the buckets on each."""
    dsns = [postgres.create_database() for _ in range(2)]

    async def found() -> None:
        async with open_shards(dsns) as harness:
            await harness.shards.found()

    trio.run(found)
    return dsns


@pytest.fixture
async def two(founded_dsns: list[LedgerDSN]) -> AsyncIterator[ShardsHarness]:
    """Sessions on both."""
    async with open_shards(founded_dsns) as harness:
        yield harness


@pytest.fixture
def empty_dsns(postgres: PostgresServer) -> list[LedgerDSN]:
    """Two ledgers that nothing was said to yet."""
    return [postgres.create_database() for _ in range(2)]
