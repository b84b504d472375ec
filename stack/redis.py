"""A look at the Redis that api processes share, for the doctor: is it there, does it keep keys."""

from __future__ import annotations

import socket
from typing import Final

from chassis.resp import Argument, Reply, ReplyError, ReplyReader, RespError, command
from chassis.settings.redis import Redis, RedisAddress, parse_address

KEEPS: Final = "noeviction"  # of maxmemory-policy: anything else may forget a nonce
_RECEIVE_BYTES: Final = 4_096


class RedisUnusableError(Exception):
    """It cannot be asked, or would forget; says why."""


def look_at_redis(settings: Redis) -> str:
    """What stands at the settings' URL, in a few words.

    Raises:
        RedisUnusableError: it is not there, does not let us in, or drops keys.
    """
    address = parse_address(settings.url)
    try:
        with _dial(address, settings.connect_timeout_s) as connection:
            if address.password:
                who = (address.user, address.password) if address.user else (address.password,)
                _ask(connection, "AUTH", *who)
            answer = _ask(connection, "CONFIG", "GET", "maxmemory-policy")
    except (OSError, RespError, ReplyError) as error:
        raise RedisUnusableError(f"{address.place} cannot be asked: {error}") from error
    policy = answer[1] if isinstance(answer, list) and len(answer) == 2 else b""
    if not isinstance(policy, bytes) or policy.decode(errors="replace") != KEEPS:
        raise RedisUnusableError(f"{address.place} may drop keys: maxmemory-policy is not {KEEPS}")
    return f"{address.place} answers and keeps its keys"


def _dial(address: RedisAddress, timeout_s: float) -> socket.socket:
    if address.kind == "tcp":
        return socket.create_connection((address.place, address.port), timeout=timeout_s)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    try:
        connection.connect(address.place)
    except OSError:
        connection.close()
        raise
    return connection


def _ask(connection: socket.socket, *parts: Argument) -> Reply:
    connection.sendall(command(*parts))
    reader = ReplyReader()
    while data := connection.recv(_RECEIVE_BYTES):
        for reply in reader.feed(data):
            if isinstance(reply, ReplyError):
                raise reply
            return reply
    raise RespError("it closed the connection")
