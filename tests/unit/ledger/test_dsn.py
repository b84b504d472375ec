"""Connection strings."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from chassis.settings.tree import Ledger
from ledger.dial import with_addresses
from ledger.dsn import hot_settings, with_role, with_session
from ledger.errors import ConnectionLostError

URI = "postgresql://someone:hunter2@db.example:6432/shop?sslmode=verify-full"


def test_another_role_keeps_the_server_and_its_options() -> None:
    """Only user, password and, if asked, database change."""
    assert conninfo_to_dict(with_role(URI, "turnout_api", "p w'\\", "ledger")) == {
        "user": "turnout_api",
        "password": "p w'\\",
        "host": "db.example",
        "port": "6432",
        "dbname": "ledger",
        "sslmode": "verify-full",
    }


def test_session_parameters_are_added_to_those_of_the_dsn() -> None:
    """The operator's own options stay; values with spaces survive."""
    dsn = with_session("host=/run options='-c geqo=off'", {"jit": "off", "search_path": "a, b\\"})
    parts = conninfo_to_dict(dsn)
    assert parts["options"] == "-c geqo=off -c jit=off -c search_path=a,\\ b\\\\"
    assert parts["client_encoding"] == "UTF8"


def test_an_application_name_of_the_operator_is_kept() -> None:
    """Ours is only the fallback."""
    assert (
        conninfo_to_dict(with_session("application_name=audit", {}))["application_name"] == "audit"
    )


@pytest.mark.parametrize("dsn", ["postgresql://u:hunter2@[::1", "password=hunter2 nonsense"])
def test_a_broken_dsn_is_refused_without_quoting_it(dsn: str) -> None:
    """It may hold a password, so the error says only what a DSN should be."""
    with pytest.raises(ConnectionLostError, match="neither") as caught:
        with_role(dsn, "x", "y")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_hot_sessions_never_plan_a_sequential_scan_nor_wait_for_ever() -> None:
    """The traps that cost a table scan a batch are shut on every session that carries payments."""
    settings = hot_settings(Ledger(statement_timeout_ms=1234, lock_timeout_ms=56))
    assert settings == {
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "jit": "off",
        "synchronous_commit": "on",
        "statement_timeout": "1234",
        "lock_timeout": "56",
        "idle_in_transaction_session_timeout": "10000",
    }


async def test_host_names_are_resolved_before_libpq_sees_them() -> None:
    """By itself libpq blocks the event loop on DNS; sockets and numbers pass as they are."""
    resolved = conninfo_to_dict(await with_addresses("host=localhost,/run,::1 port=1,2,3"))
    first, second, third = str(resolved["hostaddr"]).split(",")
    assert first in ("127.0.0.1", "::1")
    assert (second, third) == ("", "::1")
    assert resolved["host"] == "localhost,/run,::1"


@pytest.mark.parametrize("dsn", ["host=/run/turnout", "host=127.0.0.1", "dbname=x"])
async def test_nothing_to_resolve_leaves_the_dsn_alone(dsn: str) -> None:
    """Unix sockets, addresses and libpq's own default need no look-up."""
    assert dsn == await with_addresses(dsn)


async def test_a_host_that_does_not_exist_is_named() -> None:
    """The name `invalid` is reserved never to resolve (RFC 6761)."""
    with pytest.raises(ConnectionLostError, match=r"db\.invalid"):
        await with_addresses("host=db.invalid")
