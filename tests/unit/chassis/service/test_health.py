"""The health listener answers three pages, and strangers cost it little."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import pytest
import trio
from prometheus_client import CollectorRegistry
from trio.testing import open_stream_to_socket_listener

from chassis.metrics import Metrics
from chassis.service import health
from chassis.service.health import BadRequestError, HealthServer, parse_head, render

Ask = Callable[[bytes], Awaitable[bytes]]


@pytest.fixture
def checks() -> dict[str, bool]:
    """What `/readyz` sees; tests change it."""
    return {"process": True}


@pytest.fixture
def server(checks: dict[str, bool]) -> HealthServer:
    """A health server over one counter."""
    metrics = Metrics("api")
    metrics.counter("requests_total", "Requests.", lambda: 7)
    registry = CollectorRegistry()
    registry.register(metrics)
    return HealthServer(registry, lambda: checks)


@pytest.fixture
async def address(server: HealthServer, nursery: trio.Nursery) -> trio.SocketListener:
    """The server's listener, served until the test ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    await nursery.start(server.serve, listener)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listener))


async def _ask(address: trio.SocketListener, request: bytes) -> bytes:
    stream = await open_stream_to_socket_listener(address)
    answer = b""
    async with stream:
        await stream.send_all(request)
        with trio.fail_after(5):
            async for chunk in stream:
                answer += chunk
    return answer


async def test_metrics(address: trio.SocketListener) -> None:
    """Prometheus gets its text format."""
    answer = await _ask(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain")
    assert b"turnout_api_requests_total 7.0" in body
    assert f"Content-Length: {len(body)}".encode() in head


async def test_readiness_follows_its_checks(
    address: trio.SocketListener, checks: dict[str, bool]
) -> None:
    """One failing check makes the process not ready; health stays."""
    assert b" 200 OK" in await _ask(address, b"GET /readyz HTTP/1.1\r\n\r\n")
    checks["switch"] = False
    answer = await _ask(address, b"GET /readyz HTTP/1.1\r\n\r\n")
    assert b" 503 " in answer
    assert answer.endswith(b'{"status":"unavailable","checks":{"process":true,"switch":false}}')
    assert b" 200 OK" in await _ask(address, b"GET /healthz?x=1 HTTP/1.1\r\n\r\n")


async def test_head_has_no_body(address: trio.SocketListener) -> None:
    """HEAD tells the length and sends nothing after the head."""
    answer = await _ask(address, b"HEAD /healthz HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 27" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_head_in_pieces_is_put_together(address: trio.SocketListener) -> None:
    """Requests may arrive a byte at a time."""
    stream = await open_stream_to_socket_listener(address)
    async with stream:
        for byte in b"GET /healthz HTTP/1.1\r\n\r\n":
            await stream.send_all(bytes([byte]))
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "request_", [b"", b"GET /metrics", b"GET /" + b"x" * health.HEAD_BYTES_MAX + b" HTTP/1.1"]
)
async def test_incomplete_and_endless_heads_get_no_answer(
    address: trio.SocketListener, request_: bytes
) -> None:
    """A head that ends early or grows too long closes the connection."""
    stream = await open_stream_to_socket_listener(address)
    async with stream:
        await stream.send_all(request_)
        if len(request_) <= health.HEAD_BYTES_MAX:
            await stream.send_eof()
        with trio.fail_after(5):
            assert await _received(stream) == b""


async def _received(stream: trio.SocketStream) -> bytes:
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:  # reset: our own unread bytes were thrown away
        return b""


async def test_a_slow_head_is_given_up(
    server: HealthServer, autojump_clock: trio.testing.MockClock
) -> None:
    """A connection that says nothing is closed after the head's time-out."""
    ours, theirs = trio.socket.socketpair()
    await server._handle(trio.SocketStream(theirs))
    assert trio.current_time() == pytest.approx(health.HEAD_TIMEOUT_S)
    ours.close()


async def test_the_number_of_connections_is_bounded(address: trio.SocketListener) -> None:
    """Over the bound a connection is closed at once; when one ends there is room again."""
    idle = [await open_stream_to_socket_listener(address) for _ in range(health.CONNECTIONS_MAX)]
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert await _ask_tolerantly(address) == b""
    await idle[0].aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert b" 200 OK" in await _ask_tolerantly(address)
    for stream in idle[1:]:
        await stream.aclose()


async def _ask_tolerantly(address: trio.SocketListener) -> bytes:
    try:
        return await _ask(address, b"GET /healthz HTTP/1.1\r\n\r\n")
    except trio.BrokenResourceError:
        return b""


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"GET", HTTPStatus.BAD_REQUEST),
        (b"GET /metrics", HTTPStatus.BAD_REQUEST),
        (b"GET  /metrics HTTP/1.1", HTTPStatus.BAD_REQUEST),
        (b"GET /metrics HTTP/2.0", HTTPStatus.BAD_REQUEST),
        (b"GET http://x/metrics HTTP/1.1", HTTPStatus.BAD_REQUEST),
        (b"GET /m\xe9trics HTTP/1.1", HTTPStatus.BAD_REQUEST),
        (b"POST /metrics HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED),
    ],
)
def test_bad_request_lines(line: bytes, status: HTTPStatus) -> None:
    """What is no GET or HEAD of a path gets its status."""
    with pytest.raises(BadRequestError) as refused:
        parse_head(line + b"\r\n\r\n")
    assert refused.value.status is status


def test_a_refused_method_is_told_what_is_allowed(server: HealthServer) -> None:
    """405 carries Allow (RFC 9110, 15.5.6); an unknown page is 404."""
    assert b"405 Method Not Allowed" in server.respond(b"PUT /metrics HTTP/1.1\r\n\r\n")
    assert b"Allow: GET, HEAD" in render(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"")
    assert b"404 Not Found" in server.respond(b"GET /other HTTP/1.1\r\n\r\n")
