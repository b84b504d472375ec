"""Nonces and limits, in the memory of one process and in a Redis that several share: one suite."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
from msgspec.structs import replace

from api.errors import Problem
from api.limits.addresses import Addresses
from api.limits.admission import Admission, Entrant, LocalAdmission, Refusal
from api.limits.counts import RefusalCounts
from api.limits.limiter import Limiter
from api.limits.shared import SharedAdmission, load_script
from api.nonces import NonceTable
from chassis.redis import RedisScript
from chassis.resp import command
from chassis.settings import API, Settings
from chassis.settings.limits import Limits
from chassis.settings.redis import parse_address
from tests.support.http import until
from tests.support.redis import RedisServer, redis_server

TIGHT = Limits(
    key_reads_per_s=0.01,
    key_reads_burst=4,
    key_writes_per_s=0.01,
    key_writes_burst=2,
    merchant_reads_per_s=0.01,
    merchant_reads_burst=6,
    merchant_writes_per_s=0.01,
    merchant_writes_burst=3,
)
QUICK = Limits(key_writes_per_s=5.0, key_writes_burst=1)

KEYS_THAT_STAY = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TTL', key) == -1 then found[#found + 1] = key end
end
return table.concat(found, ',')
"""
Opens = Callable[[Limits], AbstractAsyncContextManager[Admission]]


def entrant(
    key: bytes = b"pk_test_a",
    *,
    method: bytes = b"POST",
    nonce: bytes | None = None,
    merchant: int = 1,
    timestamp_s: float = 0.0,
) -> Entrant:
    """A request of now with a nonce of its own, unless told otherwise."""
    return Entrant(
        key,
        bytes([merchant] * 16),
        method,
        time.monotonic(),
        os.urandom(12).hex().encode() if nonce is None else nonce,
        int(timestamp_s or time.time()),
    )


def local_admission(limits: Limits, *, slots: int = 1_024) -> LocalAdmission:
    """One that remembers from a minute ago on."""
    nonces = NonceTable(
        slots,
        retention_s=602,
        forgotten_until_s=int(time.time()) - 60,
        now=time.monotonic(),
        key=bytes(16),
    )
    return LocalAdmission(nonces, Limiter(limits, Addresses([])), RefusalCounts())


@asynccontextmanager
async def shared_admission(limits: Limits, server: RedisServer) -> AsyncIterator[SharedAdmission]:
    """One of some that share a Redis, whose memory began a minute ago."""
    settings = Settings(redis=server.settings(), limits=limits, api=API(nonce_slots=1_024))
    redis = RedisScript(parse_address(settings.redis.url), load_script(), settings.redis)
    admission = SharedAdmission(redis, local_admission(limits), settings)
    async with trio.open_nursery() as nursery:
        await run_command(server, "SETNX", "turnout:since", str(int(time.time()) - 60))
        nursery.start_soon(admission.connect)
        nursery.start_soon(admission.run)
        await until(lambda: redis.connected)
        yield admission
        nursery.cancel_scope.cancel()


async def run_command(server: RedisServer, *parts: str) -> None:
    """One command, by hand."""
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        await stream.send_all((" ".join(parts) + "\r\n").encode())
        await stream.receive_some(64)


async def judge(admission: Admission, asked: Entrant) -> str:
    """`in`, or the code that a request is refused with."""
    refusal = await refusal_of(admission, asked)
    return "in" if refusal is None else refusal.code


async def refusal_of(admission: Admission, asked: Entrant) -> Refusal | None:
    """What a request is refused with, or None."""
    heard: list[Refusal | None] = []
    done = trio.Event()

    def deliver(refusal: Refusal | None) -> None:
        heard.append(refusal)
        done.set()

    admission.admit(asked, deliver)
    with trio.fail_after(10):
        await done.wait()
    assert len(heard) == 1
    return heard[0]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A real server."""
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def opened(request: pytest.FixtureRequest) -> Opens:
    """Opens an admission of either kind."""
    if request.param == "redis":
        server = request.getfixturevalue("redis")
        return lambda limits: shared_admission(limits, server)

    @asynccontextmanager
    async def in_memory(limits: Limits) -> AsyncIterator[Admission]:
        yield local_admission(limits)

    return in_memory


async def test_a_nonce_is_good_once(opened: Opens) -> None:
    """Under one key; another key may use it, and a browser has none."""
    async with opened(Limits()) as admission:
        first = entrant(nonce=b"n" * 16)
        assert await judge(admission, first) == "in"
        assert await judge(admission, first) == "nonce_reused"
        assert await judge(admission, replace(first, nonce=b"m" * 16)) == "in"
        assert await judge(admission, replace(first, publishable_key=b"pk_test_b")) == "in"
        browser = replace(first, nonce=b"", timestamp_s=0)
        assert [await judge(admission, browser) for _ in range(3)] == ["in"] * 3


async def test_what_is_older_than_memory_is_refused(opened: Opens) -> None:
    """A replay of it could not be told; what is newer gets in."""
    async with opened(Limits()) as admission:
        old = entrant(timestamp_s=time.time() - 61)
        assert await judge(admission, old) == "timestamp_outside_window"
        assert await judge(admission, entrant(timestamp_s=time.time() - 50)) == "in"


async def test_a_key_has_its_burst(opened: Opens) -> None:
    """Reads apart from writes, another key's apart from both; and what to wait is told."""
    async with opened(TIGHT) as admission:
        writes = [await judge(admission, entrant()) for _ in range(3)]
        assert writes == ["in", "in", "rate_limited"]
        reads = [await judge(admission, entrant(method=b"GET")) for _ in range(5)]
        assert reads == ["in"] * 4 + ["rate_limited"]
        problem = await refusal_of(admission, entrant(method=b"HEAD"))
        assert isinstance(problem, Problem)
        assert problem.detail == "one key may ask for 0.01 reads a second, 4 at once"
        assert 90 <= problem.retry_after_s <= 100
        assert await judge(admission, entrant(b"pk_test_b", merchant=2)) == "in"


async def test_a_merchant_has_its_burst_over_all_keys(opened: Opens) -> None:
    """What its limit refuses, its key is not charged for."""
    async with opened(TIGHT) as admission:
        keys = [b"a", b"a", b"b", b"b", b"b"]
        refusals = [await refusal_of(admission, entrant(key)) for key in keys]
        assert refusals[:3] == [None] * 3
        for refusal in refusals[3:]:
            assert isinstance(refusal, Problem)
            assert refusal.detail.startswith("one merchant")


async def test_what_was_used_comes_back(opened: Opens) -> None:
    """After the time that is told, and not before."""
    async with opened(QUICK) as admission:
        assert await judge(admission, entrant()) == "in"
        assert await judge(admission, entrant()) == "rate_limited"
        await trio.sleep(0.25)
        assert await judge(admission, entrant()) == "in"


def test_without_memory_nobody_gets_in() -> None:
    """A full table of nonces refuses what it could not recognize again, and counts it."""
    admission = local_admission(Limits(), slots=4)
    verdicts = [admission.judge(entrant()) for _ in range(4)]
    assert verdicts[:3] == [None] * 3
    assert isinstance(verdicts[3], Problem)
    assert (verdicts[3].code, verdicts[3].retry_after_s) == ("nonce_store_full", 60)
    assert admission.refusals.nonce_store_full_total == 1


@pytest.mark.redis
async def test_processes_share_what_they_know(redis: RedisServer) -> None:
    """Of one request sent to two at once many times over, one gets in; a burst is had once."""
    async with shared_admission(TIGHT, redis) as one, shared_admission(TIGHT, redis) as other:
        again = entrant(method=b"GET")
        verdicts: list[str] = []

        async def ask(admission: Admission) -> None:
            verdicts.append(await judge(admission, again))

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, other if number % 2 else one)
        assert sorted(verdicts) == ["in"] + ["nonce_reused"] * 49
        writes = [await judge(who, entrant()) for who in (one, other, one, other)]
        assert writes == ["in", "in", "rate_limited", "rate_limited"]


@pytest.mark.redis
async def test_a_tick_is_one_round_trip(redis: RedisServer) -> None:
    """Two hundred requests at once are asked about in one, and each hears its own."""
    async with shared_admission(Limits(), redis) as admission:
        verdicts: dict[int, Refusal | None] = {}
        asked = [entrant(nonce=b"n-%015d" % (number // 2)) for number in range(200)]
        for number, one in enumerate(asked):
            admission.admit(one, lambda refusal, number=number: verdicts.update({number: refusal}))
        await until(lambda: len(verdicts) == 200)
        assert admission.batches_total == 1
        assert [verdicts[number] is None for number in range(200)] == [True, False] * 100


@pytest.mark.redis
async def test_writes_wait_for_a_redis_that_is_away(redis: RedisServer) -> None:
    """Killed in the middle: writes 503, reads go on; back, it refuses what it has forgotten."""
    async with shared_admission(Limits(), redis) as admission:
        before = entrant()
        assert await judge(admission, before) == "in"
        redis.kill()
        refusal = await refusal_of(admission, entrant())
        assert isinstance(refusal, Problem)
        assert (refusal.code, refusal.status, refusal.retry_after_s) == (
            "limits_unavailable",
            503,
            1,
        )
        read = entrant(method=b"GET")
        assert await judge(admission, read) == "in"
        assert await judge(admission, read) == "nonce_reused"  # by its own memory
        assert admission.away_total == 3
        redis.start()
        await until(lambda: admission._redis.connected)
        assert await judge(admission, before) == "timestamp_outside_window"
        await trio.sleep(1.1)  # memory began with the second in which the first asked
        assert await judge(admission, entrant()) == "in"


@pytest.mark.redis
async def test_keys_do_not_stay(redis: RedisServer) -> None:
    """Every key but the beginning of memory goes by itself."""
    async with shared_admission(Limits(), redis) as admission:
        assert await judge(admission, entrant()) == "in"
        async with await trio.open_tcp_stream("127.0.0.1", redis.port) as stream:
            await stream.send_all(command("EVAL", KEYS_THAT_STAY, 0))
            assert (await stream.receive_some(256)).split(b"\r\n")[1] == b"turnout:since"
