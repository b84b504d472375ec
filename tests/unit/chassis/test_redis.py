"""A client against a server that is played: what goes wrong ends the connection; one comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from attrs import define, field

from chassis.redis import RedisAwayError, RedisScript
from chassis.settings.redis import Redis, RedisAddress
from tests.support.http import until

SETTINGS = Redis(
    connect_timeout_s=2.0, answer_timeout_s=0.1, reconnect_min_s=0.005, reconnect_max_s=0.01
)


@define
class Played:
    """Answers each command, in upper case, by a table; what has no entry is left unanswered."""

    answers: dict[bytes, bytes | None]
    heard: list[bytes] = field(factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection; None as an answer ends it."""
        async for data in stream:
            self.heard.append(bytes(data))
            name = bytes(data).split(b"\r\n")[2]
            if name in self.answers:
                answer = self.answers[name]
                if answer is None:
                    return
                await stream.send_all(answer)


@asynccontextmanager
async def playing(
    answers: dict[bytes, bytes | None], **address: str | int
) -> AsyncIterator[tuple[RedisScript, Played]]:
    """A client that runs, and who answers it."""
    played = Played({b"SCRIPT": b"$4\r\nabcd\r\n", b"EVALSHA": b":7\r\n"} | answers)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, played.serve, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        where = RedisAddress("tcp", "127.0.0.1", port, **address)  # type: ignore[arg-type]
        script = RedisScript(where, "return 7", SETTINGS)
        nursery.start_soon(script.run, ["opening"])
        yield script, played
        nursery.cancel_scope.cancel()


async def test_a_script_is_loaded_and_run() -> None:
    """Once a connection; it is called by its digest."""
    async with playing({}) as (script, played):
        await until(lambda: script.connected)
        assert [await script.call(["a"]), await script.call([1])] == [7, 7]
        assert b"return 7" in played.heard[0]
        asked = [line.split(b"\r\n")[2::2] for line in played.heard[1:]]
        assert [one[:3] for one in asked] == [[b"EVALSHA", b"abcd", b"0"]] * 3
        assert [one[3] for one in asked] == [b"opening", b"a", b"1"]
        assert (script.connects_total, script.failures_total) == (1, 0)


async def test_who_we_are_comes_first() -> None:
    """A password, and a database by its number."""
    ok = {b"AUTH": b"+OK\r\n", b"SELECT": b"+OK\r\n"}
    async with playing(ok, user="me", password="secret", database=3) as (script, played):
        await until(lambda: script.connected)
        names = [line.split(b"\r\n")[2] for line in played.heard]
        assert names == [b"AUTH", b"SELECT", b"SCRIPT", b"EVALSHA"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"-NOSCRIPT no such script\r\n", id="refused"),
        pytest.param(b"HTTP/1.1 400\r\n", id="another protocol"),
        pytest.param(b":", id="half a reply"),
        pytest.param(b"", id="nothing"),
        pytest.param(None, id="closed"),
    ],
)
async def test_what_goes_wrong_ends_the_connection(answer: bytes | None) -> None:
    """The caller is told within the time limit, and the next connection loads the script anew."""
    async with playing({}) as (script, played):
        await until(lambda: script.connected)
        if answer == b"":
            del played.answers[b"EVALSHA"]
        else:
            played.answers[b"EVALSHA"] = answer
        with pytest.raises(RedisAwayError, match="was lost"):
            await script.call([])
        played.answers[b"EVALSHA"] = b":8\r\n"
        await until(lambda: script.connected)
        assert await script.call([]) == 8
        assert script.connects_total == 2
        assert script.failures_total >= 1  # it may have come again before all was well


@pytest.mark.parametrize("answer", [b"-WRONGPASS\r\n", b":1\r\n", None])
async def test_a_server_that_does_not_take_the_script_is_away(answer: bytes | None) -> None:
    """It is tried again and again; nobody waits for it."""
    async with playing({b"SCRIPT": answer}) as (script, _):
        await until(lambda: script.failures_total >= 2)
        with pytest.raises(RedisAwayError, match="no connection"):
            await script.call([])
