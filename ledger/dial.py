"""Reach a Postgres server and log in, without blocking anyone else."""

from __future__ import annotations

import ipaddress

import trio
from psycopg import pq
from psycopg.conninfo import make_conninfo

from ledger.dsn import INVALID_DSN, parsed
from ledger.errors import ConnectionLostError


async def dial(dsn: str) -> pq.abc.PGconn:
    """Connect and authenticate; whoever calls sets the deadline.

    Raises:
        ConnectionLostError: With libpq's reason, which names host and role but no secret.
    """
    pgconn = pq.PGconn.connect_start((await with_addresses(dsn)).encode())
    try:
        while True:
            match pgconn.connect_poll():
                case pq.PollingStatus.READING:
                    await trio.lowlevel.wait_readable(pgconn.socket)
                case pq.PollingStatus.WRITING:
                    await trio.lowlevel.wait_writable(pgconn.socket)
                case outcome:
                    break
    except BaseException:
        pgconn.finish()
        raise
    if outcome != pq.PollingStatus.OK:
        reason = " ".join(pgconn.get_error_message().split())
        pgconn.finish()
        raise ConnectionLostError(reason)
    return pgconn


async def with_addresses(dsn: str) -> str:
    """Resolve host names here, in Trio's way: libpq would block the whole process."""
    parts = parsed(dsn)
    hosts = str(parts.get("host") or "").split(",")
    if "hostaddr" in parts or not any(map(_is_name, hosts)):
        return dsn
    ports = str(parts.get("port") or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    addresses = [await _address(host, port) for host, port in zip(hosts, ports, strict=False)]
    return make_conninfo(**parts | {"hostaddr": ",".join(addresses)})


async def _address(host: str, port: str) -> str:
    if not _is_name(host):
        return "" if host.startswith(("/", "@")) else host
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
