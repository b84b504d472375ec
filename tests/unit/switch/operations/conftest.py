"""Fixtures of the cold path's tests."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from tests.support.cold_path import Scene, run_jumping, running
from tests.support.operations import SECOND_US, Book, authorized, charged
from tests.support.pipeline import NOW_US


@pytest.fixture(autouse=True)
def jumping_clock(request: pytest.FixtureRequest) -> None:
    """Run each async test on a clock that jumps, without an argument that no test would use."""
    if inspect.iscoroutinefunction(request.function):
        request.node.add_marker(pytest.mark.trio(run=run_jumping), append=False)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A cold path that runs."""
    async with running() as made:
        yield made


@pytest.fixture
def held(scene: Scene) -> Book:
    """An authorized intent of the dual-message network."""
    return scene.ledger.add(authorized())


@pytest.fixture
def paid(scene: Scene) -> Book:
    """A charged intent of the dual-message network."""
    return scene.ledger.add(charged())


@pytest.fixture
def jumping_now() -> Any:
    """Microseconds since 1970, on the clock that jumps."""
    return lambda: NOW_US + int(trio.current_time() * SECOND_US)
