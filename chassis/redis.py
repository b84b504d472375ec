"""A client of one Redis or Valkey for one caller: a script, a round trip, a time limit.

What is asked of it is one script with everything that waits, once a tick, so there is nothing to
pool, to pipeline or to route, and the client is small enough to be ours (ADR 0042). It loads its
script whenever it connects. Whatever goes wrong on a connection ends it, so that a late reply can
never be taken for the next one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.resp import Argument, Reply, ReplyError, ReplyReader, RespError, command
from chassis.settings.redis import Redis, RedisAddress

RECEIVE_BYTES: Final = 65_536

log = get_logger(__name__)


class RedisAwayError(Exception):
    """It cannot be asked now, or did not answer; what was asked may have been done."""


class RedisScript:
    """One script on one Redis.

    Args:
        address: where.
        script: in Lua; its arguments are all in ARGV.
        settings: the limits.

    Attributes:
        connected: whether it can be asked now, as far as is known.
        connects_total: connections that came up.
        failures_total: connections that could not be made or were lost.
    """

    __slots__ = (
        "_address",
        "_digest",
        "_ended",
        "_reader",
        "_script",
        "_settings",
        "_stream",
        "connects_total",
        "failures_total",
    )

    def __init__(self, address: RedisAddress, script: str, settings: Redis) -> None:
        self._address = address
        self._script = script
        self._settings = settings
        self._stream: trio.abc.Stream | None = None
        self._reader = ReplyReader()
        self._digest = b""
        self._ended = trio.Event()
        self.connects_total = 0
        self.failures_total = 0

    @property
    def connected(self) -> bool:
        """Whether it can be asked now, as far as is known."""
        return self._stream is not None

    async def run(self, opening: Sequence[Argument] = ()) -> None:
        """Connect, and again whenever the connection is lost, until canceled.

        Args:
            opening: what the script is run with first on every connection.
        """
        settings = self._settings
        backoff = Backoff(min_s=settings.reconnect_min_s, max_s=settings.reconnect_max_s)
        while True:
            try:
                with trio.fail_after(settings.connect_timeout_s):
                    stream = await self._connect(opening)
            except (OSError, trio.TooSlowError, trio.BrokenResourceError, RedisAwayError) as error:
                self.failures_total += 1
                log.warning("redis_away", reason=str(error) or type(error).__name__)
            else:
                backoff.reset()
                self.connects_total += 1
                await self._serve(stream)
            await trio.sleep(backoff.next_delay_s())

    async def call(self, arguments: Sequence[Argument]) -> Reply:
        """Run the script; one caller at a time.

        Raises:
            RedisAwayError: there is no connection, or it was lost before the reply.
        """
        stream = self._stream
        if stream is None:
            raise RedisAwayError("there is no connection")
        try:
            with trio.fail_after(self._settings.answer_timeout_s):
                return await self._ask(stream, command("EVALSHA", self._digest, 0, *arguments))
        except (trio.TooSlowError, trio.BrokenResourceError, RedisAwayError) as error:
            self.failures_total += 1
            log.warning("redis_away", reason=str(error) or type(error).__name__)
            self._stream = None
            self._ended.set()
            raise RedisAwayError("the connection was lost") from error

    async def _serve(self, stream: trio.abc.Stream) -> None:
        """Have a connection used until it ends."""
        self._ended = trio.Event()
        self._stream = stream
        try:
            await self._ended.wait()
        finally:
            self._stream = None
            await trio.aclose_forcefully(stream)

    async def _connect(self, opening: Sequence[Argument]) -> trio.abc.Stream:
        address = self._address
        stream: trio.SocketStream
        if address.kind == "unix":
            stream = await trio.open_unix_socket(address.place)
        else:
            stream = await trio.open_tcp_stream(address.place, address.port)
        try:
            self._reader = ReplyReader()
            if address.password:
                who = (address.user, address.password) if address.user else (address.password,)
                await self._ask(stream, command("AUTH", *who))
            if address.database:
                await self._ask(stream, command("SELECT", address.database))
            self._digest = await self._load(stream)
            await self._ask(stream, command("EVALSHA", self._digest, 0, *opening))
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    async def _load(self, stream: trio.abc.Stream) -> bytes:
        """Load the script; what it is called by from now on."""
        digest = await self._ask(stream, command("SCRIPT", "LOAD", self._script))
        if isinstance(digest, bytes):
            return digest
        raise RedisAwayError("SCRIPT LOAD was answered otherwise than it should")

    async def _ask(self, stream: trio.abc.Stream, asked: bytes) -> Reply:
        """Send a command and receive its reply."""
        await stream.send_all(asked)
        while True:
            data = await stream.receive_some(RECEIVE_BYTES)
            if not data:
                raise RedisAwayError("the connection was closed")
            try:
                replies = self._reader.feed(bytes(data))
            except RespError as error:
                raise RedisAwayError(str(error)) from error
            if replies:
                if isinstance(replies[0], ReplyError):
                    raise RedisAwayError(str(replies[0]))
                return replies[0]
