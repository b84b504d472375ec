"""Connection strings: whose session, which run-time parameters, which address.

A DSN is anything libpq takes: a URI or `key=value` pairs. Errors here never quote it, because it
may hold a password.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

import trio
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from chassis.settings.tree import Ledger
from ledger.errors import ConnectionLostError

INVALID_DSN: Final = "08001"  # sqlclient_unable_to_establish_sqlconnection

# Sessions that commit payments. A statement over unnest() that was planned while its table was
# small keeps a sequential scan for ever, hence no sequential scans and one generic plan; hash
# joins stay on, without them joins between CTEs turn quadratic.
_HOT_PLANS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "synchronous_commit": "on",
}
IDLE_IN_TRANSACTION_MS: Final = 10_000  # we never leave one open: only a fault reaches this


def hot_settings(settings: Ledger) -> dict[str, str]:
    """Session parameters of the connections that carry payments."""
    return _HOT_PLANS | {
        "statement_timeout": str(settings.statement_timeout_ms),
        "lock_timeout": str(settings.lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
    }


def with_role(dsn: str, role: str, password: str, database: str | None = None) -> str:
    """Address the same server as another role, and another database if one is named."""
    changes = {"user": role, "password": password} | ({"dbname": database} if database else {})
    return make_conninfo(**_parsed(dsn) | changes)


def with_session(dsn: str, parameters: Mapping[str, str]) -> str:
    """Have each session of `dsn` start with these run-time parameters, after its own."""
    parts = _parsed(dsn)
    options = [str(parts["options"])] if parts.get("options") else []
    options += [f"-c {name}={_escaped(value)}" for name, value in parameters.items()]
    parts["client_encoding"] = "UTF8"
    parts.setdefault("fallback_application_name", "turnout")
    if options:
        parts["options"] = " ".join(options)
    return make_conninfo(**parts)


async def with_addresses(dsn: str) -> str:
    """Resolve host names here, in Trio's way: libpq would block the whole process."""
    parts = _parsed(dsn)
    hosts = str(parts.get("host") or "").split(",")
    if "hostaddr" in parts or not any(map(_is_name, hosts)):
        return dsn
    ports = str(parts.get("port") or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    addresses = [
        await _address(host, port) if _is_name(host) else host
        for host, port in zip(hosts, ports, strict=False)
    ]
    return make_conninfo(**parts | {"hostaddr": ",".join(addresses)})


async def _address(host: str, port: str) -> str:
    try:
        found = await trio.socket.getaddrinfo(host, port or None, type=trio.socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionLostError(
            f"cannot resolve the database host {host}: {error.strerror}", sqlstate=INVALID_DSN
        ) from None
    return str(found[0][4][0])


def _is_name(host: str) -> bool:
    if not host or host.startswith(("/", "@")):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _parsed(dsn: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(dsn)
    except ProgrammingError:
        raise ConnectionLostError(
            "the database DSN is neither a postgresql:// URI nor key=value pairs",
            sqlstate=INVALID_DSN,
        ) from None


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
