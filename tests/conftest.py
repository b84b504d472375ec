"""Fixtures for every level: one Postgres a process, a migrated database for whoever asks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.support.postgres import LedgerDSN, PostgresServer, open_folder, session_server

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("turnout", deadline=None)
hypothesis.settings.load_profile("turnout")

_LOGGING = structlog.get_config()

# A shell has its background jobs ignore Ctrl-C, nohup the end of the terminal, and both are
# inherited; what tests start must hear the signals that they send.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)


# Only `make test-browser` installs what these need, and it names their folder.
collect_ignore = [] if find_spec("playwright") else ["browser"]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> None:
    """A command that a test runs in this process sets a level, which would hide lines of others."""
    structlog.configure(**_LOGGING)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's Postgres server."""
    with session_server() as server:
        yield server


@pytest.fixture(scope="module")
def ledger_dsn(postgres: PostgresServer) -> LedgerDSN:
    """A migrated database of this module's own; `ledger_dsn("turnout_switch")` is a DSN."""
    return postgres.create_database()


@pytest.fixture
def fresh_ledger_dsn(postgres: PostgresServer) -> LedgerDSN:
    """As `ledger_dsn`, but made for one test."""
    return postgres.create_database()


@pytest.fixture
def open_tmp_path() -> Iterator[Path]:
    """A short path below /tmp that processes of other uids may pass through (0711)."""
    with open_folder() as folder:
        yield folder
