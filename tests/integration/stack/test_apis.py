"""Two api processes of a whole stack on one socket, with a real Redis between them."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from stack.temporary import TemporaryStack, stack_in
from tests.support.api import Merchant, problem
from tests.support.http import Response, WireClient, until
from tests.support.redis import redis_server

pytestmark = pytest.mark.redis
BODY = {"amountInCents": 2499, "currency": "usd"}
BURST = 8


async def ask(stack: TemporaryStack, request: bytes) -> Response:
    """Send one request on a connection of its own: whichever process takes it answers."""
    place = urlsplit(stack.endpoints.api.url)
    async with await trio.open_tcp_stream(place.hostname or "", place.port or 0) as stream:
        client = WireClient(stream)
        await client.send(request)
        return await client.receive()


async def answered(stack: TemporaryStack, key: str, route: str) -> int:
    """How many requests of a route a process has answered."""
    url = stack.refresh().metrics[key]
    text = await trio.to_thread.run_sync(lambda: urllib.request.urlopen(url).read().decode())
    lines = re.findall(rf'_api_requests_total{{route="{route}",status="\dxx"}} (\S+)', text)
    return int(sum(map(float, lines)))


async def several(stack: TemporaryStack, requests: list[bytes]) -> list[Response]:
    """Send many at once, each on its own connection."""
    responses: list[Response] = []

    async def one(request: bytes) -> None:
        responses.append(await ask(stack, request))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for request in requests:
                nursery.start_soon(one, request)
    return responses


async def test_two_apis_are_one(open_tmp_path: Path) -> None:
    """A replay meets the process that does not know it, a burst is had once, one may die.

    And while Redis is away writes are told 503 by both, and reads go on.
    """
    with redis_server() as redis:
        overrides = {
            "api.processes": "2",
            "redis.url": redis.settings().url,
            "redis.answer_timeout_s": "5",
            "limits.key_writes_per_s": "0.001",
            "limits.key_writes_burst": str(BURST),
        }
        async with stack_in(open_tmp_path, overrides) as stack:
            assert {"api", "api-1"} <= stack.endpoints.processes.keys()
            given = stack.credentials()
            shop = Merchant(b"", given.publishable_key, given.secret_key)
            await trio.sleep(1.1)  # Redis remembers from the second of the first request on

            replays = await several(stack, [shop.request("GET", "/balance")] * 40)
            assert Counter(response.status for response in replays) == {200: 1, 401: 39}
            reads = [shop.request("GET", "/payment-intents") for _ in range(200)]
            assert {response.status for response in await several(stack, reads)} == {200}
            for key in ("api", "api-1"):
                assert await answered(stack, key, "listPaymentIntents") > 0

            writes = [shop.request("POST", "/payment-intents", BODY) for _ in range(BURST * 2)]
            statuses = Counter(response.status for response in await several(stack, writes))
            assert statuses == {201: BURST, 429: BURST}

            before = stack.endpoints.processes["api-1"]
            os.kill(before, signal.SIGKILL)
            await _until_back(stack, "api-1", before)
            reads = [shop.request("GET", "/payment-intents") for _ in range(20)]
            assert {response.status for response in await several(stack, reads)} == {200}

            redis.kill()
            refused = await ask(stack, shop.request("POST", "/payment-intents", BODY))
            assert (refused.status, problem(refused)["code"]) == (503, "limits_unavailable")
            await trio.sleep(1.1)  # a process alone knows what was signed since its own start
            reads = [shop.request("GET", "/payment-intents") for _ in range(20)]
            assert {response.status for response in await several(stack, reads)} == {200}
    assert stack.exit_code == 0


async def _until_back(stack: TemporaryStack, key: str, before: int) -> None:
    with trio.fail_after(60):
        await until(lambda: stack.refresh().processes[key] != before)
