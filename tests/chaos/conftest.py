"""A stack for each module, which its faults leave whole, and a merchant for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from stack.temporary import TemporaryStack
from tests.support.whole_stack import WholeStack, merchant_of, running_in_thread


@pytest.fixture(scope="module")
def stack() -> Iterator[TemporaryStack]:
    """One stack for every fault of a module: it heals."""
    with running_in_thread() as stack:
        yield stack


@pytest.fixture
async def whole(stack: TemporaryStack) -> AsyncIterator[WholeStack]:
    """The module's stack with a merchant of this test's own; both networks are up."""
    async with merchant_of(stack) as whole:
        await whole.pay_well(within_s=20)
        yield whole
