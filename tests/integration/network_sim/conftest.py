"""What the tests of a running network share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from switch.iso8583 import Dialect, load_dialect
from tests.support.network_host import RunningNetwork, make_pki, run_network
from tests.support.played import PlayOn, stage

RunNetwork = Callable[..., AbstractAsyncContextManager[RunningNetwork]]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of everyone."""
    directory = tmp_path_factory.mktemp("pki")
    make_pki(directory)
    return directory


@pytest.fixture(scope="session")
def dialect() -> Dialect:
    """NET87B."""
    return load_dialect("net87b")


@pytest.fixture
def network_on(tmp_path: Path, pki: Path, dialect: Dialect) -> RunNetwork:
    """Runs a network on this test's own data directory."""
    return partial(run_network, tmp_path, pki, dialect)


@pytest.fixture
def play_on(tmp_path: Path, pki: Path, dialect: Dialect) -> PlayOn:
    """Plays a network by a script, inside the test."""
    return partial(stage, tmp_path, pki, dialect)
