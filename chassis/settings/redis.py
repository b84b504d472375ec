"""The settings of the store that api processes share; a section of `chassis.settings.tree`."""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote, urlsplit

from attrs import field, frozen

from chassis.settings.section import Section

DEFAULT_PORT = 6379


class Redis(Section, frozen=True):
    """Redis or Valkey, for nonces and limits of several api processes."""

    # redis://[[user]:password@]host[:port][/database], or unix:///path/to/socket; empty = in the
    # memory of one api process.
    url: str = ""
    prefix: str = "turnout:"  # of every key; api processes of one installation have the same
    batch_max: int = 256  # requests asked about in one round trip: a millisecond of Redis
    connect_timeout_s: float = 1.0
    answer_timeout_s: float = 0.5  # for a round trip; then it is away, and writes are told 503
    reconnect_min_s: float = 0.05
    reconnect_max_s: float = 1.0


class RedisAddressError(ValueError):
    """A URL that names no Redis; never quotes it, for it may hold a password."""


@frozen
class RedisAddress:
    """Where a Redis is, and who we are there.

    Attributes:
        kind: how it is reached.
        place: host or path.
        port: of TCP.
        user: empty for the default one.
        password: empty if it asks for none.
        database: its number.
    """

    kind: Literal["tcp", "unix"]
    place: str
    port: int = DEFAULT_PORT
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    database: int = 0


def parse_address(url: str) -> RedisAddress:
    """Read `redis://[[user]:password@]host[:port][/database]` or `unix:///path`.

    Raises:
        RedisAddressError: it is neither.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise RedisAddressError("is no URL") from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix" and parts.path and not parts.hostname:
        return RedisAddress("unix", parts.path, user=user, password=password)
    database = parts.path.removeprefix("/") or "0"
    if parts.scheme != "redis" or not parts.hostname or not database.isdigit():
        raise RedisAddressError("must be redis://host:port/database or unix:///path")
    return RedisAddress("tcp", parts.hostname, port, user, password, int(database))
