"""The HTTP server on real sockets: order, limits, time, ends."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest
import trio
import trustme

from api.http.answer import JSON, Answer, prepare_head
from api.http.exchange import Exchange
from api.http.server import Server
from api.http.tls import server_context
from chassis.settings import API
from tests.support.http import WireClient, running_server, until

OK = prepare_head(200, JSON)
HURRIED = API(
    head_timeout_s=0.2,
    body_timeout_s=0.2,
    idle_timeout_s=0.2,
    request_deadline_s=0.3,
)


def echo(exchange: Exchange) -> None:
    """Answer at once with what arrived."""
    exchange.answer(Answer(OK, exchange.request.target + exchange.request.body))


def never(exchange: Exchange) -> None:
    """Answer not at all."""


class Held:
    """A handler that answers when told."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        """Hold it."""
        self.exchanges.append(exchange)

    async def wait_for(self, count: int) -> None:
        """Wait until so many requests are held."""
        await until(lambda: len(self.exchanges) >= count)

    def answer(self, *indices: int) -> None:
        """Answer these, in this order."""
        for index in indices:
            echo(self.exchanges[index])


def get(target: str = "/", headers: str = "") -> bytes:
    """A GET with a Host."""
    return f"GET {target} HTTP/1.1\r\nHost: shop\r\n{headers}\r\n".encode()


def post(target: str, body: bytes, headers: str = "") -> bytes:
    """A POST with a length."""
    head = f"POST {target} HTTP/1.1\r\nHost: shop\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


async def test_requests_on_one_connection_are_answered_one_after_the_other() -> None:
    """Keep-alive: each answer has its length, a Date and a request id of its own."""
    async with running_server(echo) as running:
        client = await running.connect()
        ids = set()
        for number in range(3):
            await client.send(post(f"/{number}", b"body"))
            response = await client.receive()
            assert (response.status, response.body) == (200, b"/%dbody" % number)
            assert response.headers["date"].endswith(" GMT")
            assert "connection" not in response.headers
            ids.add(response.headers["x-request-id"])
        assert len(ids) == 3
        assert running.server.open_connections == 1


async def test_a_client_cannot_choose_the_request_id() -> None:
    """An X-Request-Id that was sent is not the one that is answered."""
    async with running_server(echo) as running:
        client = await running.connect()
        await client.send(get(headers="X-Request-Id: mine\r\n"))
        assert len((await client.receive()).headers["x-request-id"]) == 32


async def test_one_byte_at_a_time() -> None:
    """However a request is cut, it is answered."""
    async with running_server(echo) as running:
        client = await running.connect()
        for byte in post("/slow", b"body"):
            await client.send(bytes([byte]))
        assert (await client.receive()).body == b"/slowbody"


async def test_pipelined_requests_are_answered_in_order_and_together() -> None:
    """Answers wait for their turn, and a burst leaves in one piece."""
    held = Held()
    async with running_server(held) as running:
        client = await running.connect()
        await client.send(b"".join(get(f"/{number}") for number in range(4)))
        await held.wait_for(4)
        held.answer(3, 1, 2)
        with trio.move_on_after(0.05):
            await client.receive()
            raise AssertionError("an answer overtook the first")
        held.answer(0)
        assert [(await client.receive()).body for _ in range(4)] == [b"/0", b"/1", b"/2", b"/3"]


async def test_the_pipeline_is_bounded() -> None:
    """No more requests are begun than the limit; the rest follows when answers are written."""
    held = Held()
    async with running_server(held, API(pipeline_depth_max=3)) as running:
        client = await running.connect()
        await client.send(b"".join(get(f"/{number}") for number in range(10)))
        await held.wait_for(3)
        await trio.sleep(0.02)
        assert len(held.exchanges) == 3
        for number in range(10):
            await held.wait_for(number + 1)
            held.answer(number)
            assert (await client.receive()).body == b"/%d" % number
            assert len(held.exchanges) <= number + 4


async def test_a_long_burst_is_answered_whole() -> None:
    """More pipelined requests than the limit pass, also when each is answered at once."""
    async with running_server(echo, API(pipeline_depth_max=4)) as running:
        client = await running.connect()
        await client.send(b"".join(get(f"/{number}") for number in range(300)))
        bodies = [(await client.receive()).body for _ in range(300)]
        assert bodies == [b"/%d" % number for number in range(300)]


async def test_head_has_the_length_and_not_the_body() -> None:
    """HEAD is answered as GET without its body."""
    async with running_server(echo) as running:
        client = await running.connect()
        await client.send(get("/abc").replace(b"GET", b"HEAD") + get("/next"))
        response = await client.receive(body=False)
        assert response.headers["content-length"] == "4"
        assert (await client.receive()).body == b"/next"


async def test_a_body_is_invited() -> None:
    """Expect: 100-continue gets its interim answer before the body is sent."""
    async with running_server(echo) as running:
        client = await running.connect()
        request = post("/a", b"body", "Expect: 100-continue\r\n")
        await client.send(request[:-4])
        assert (await client.receive()).status == 100
        await client.send(request[-4:])
        assert (await client.receive()).body == b"/abody"


async def test_an_invitation_waits_for_the_answers_before_it() -> None:
    """100 Continue does not overtake the answer to an earlier request."""
    held = Held()
    async with running_server(held) as running:
        client = await running.connect()
        await client.send(get("/0") + post("/1", b"body", "Expect: 100-continue\r\n")[:-4])
        await held.wait_for(1)
        held.answer(0)
        assert (await client.receive()).body == b"/0"
        assert (await client.receive()).status == 100
        await client.send(b"body")
        await held.wait_for(2)
        held.answer(1)
        assert (await client.receive()).body == b"/1body"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (get("/" + "x" * 9_000), 414),
        (get(headers="X: " + "x" * 17_000 + "\r\n"), 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413),
        (get(headers="Expect: miracles\r\n"), 417),
    ],
)
async def test_what_is_no_request_ends_the_connection(request_bytes: bytes, status: int) -> None:
    """A rejection is a problem document with a request id, and the last answer."""
    async with running_server(echo) as running:
        client = await running.connect()
        await client.send(get("/first") + request_bytes)
        assert (await client.receive()).body == b"/first"
        response = await client.receive()
        assert response.status == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["connection"] == "close"
        problem = json.loads(response.body)
        assert problem["status"] == status
        assert problem["requestId"] == response.headers["x-request-id"]
        assert await client.receive_end() == b""
        assert running.finished == [200, status]


async def test_the_answer_to_an_oversized_body_survives_the_rest_of_it() -> None:
    """The client can still read its 413 after sending a megabyte that nobody wanted."""
    async with running_server(echo) as running:
        client = await running.connect()
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
        await client.send(head)
        await client.send(b"x" * 900_000)
        assert (await client.receive()).status == 413


async def test_a_slow_head_is_cut_off() -> None:
    """Slow-loris: a head that trickles in has a limit in all, not per byte."""
    async with running_server(echo, HURRIED) as running:
        client = await running.connect()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_trickle, client, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 99)
            response = await client.receive()
            nursery.cancel_scope.cancel()
        assert response.status == 408
        assert trio.current_time() - began < 1.0


async def test_a_slow_body_is_cut_off() -> None:
    """The same for a body."""
    async with running_server(echo, HURRIED) as running:
        client = await running.connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_trickle, client, post("/", b"x" * 99), 60)
            response = await client.receive()
            nursery.cancel_scope.cancel()
        assert response.status == 408


async def _trickle(client: WireClient, data: bytes, at_once: int = 1) -> None:
    await client.send(data[:at_once])
    for byte in data[at_once:]:
        await trio.sleep(0.02)
        await client.send(bytes([byte]))


@pytest.mark.parametrize("first", [b"", get("/")], ids=["silent", "after a request"])
async def test_idle_connections_are_closed(first: bytes) -> None:
    """Neither a silent client nor one that has said enough keeps a connection for ever."""
    async with running_server(echo, HURRIED) as running:
        client = await running.connect()
        if first:
            await client.send(first)
            await client.receive()
        assert await client.receive_end() == b""


async def test_an_overdue_answer_is_a_503_and_the_late_one_is_dropped() -> None:
    """Nobody waits longer than the deadline; what comes later does not confuse the next."""
    held = Held()
    async with running_server(held, HURRIED) as running:
        client = await running.connect()
        await client.send(get("/late"))
        response = await client.receive()
        assert response.status == 503
        assert json.loads(response.body)["code"] == "answer_overdue"
        assert response.headers["retry-after"] == "1"
        assert held.exchanges[0].answer(Answer(OK, b"late")) is False
        await client.send(get("/next"))
        await held.wait_for(2)
        held.answer(1)
        assert (await client.receive()).body == b"/next"


async def test_a_client_that_does_not_read_stops_only_itself() -> None:
    """Answers that a client does not take are bounded, then the connection is cut."""
    big = Answer(OK, b"x" * 500_000)

    def flood(exchange: Exchange) -> None:
        if exchange.request.target == b"/big":
            exchange.answer(big)
        else:
            echo(exchange)

    async with running_server(flood, HURRIED) as running:
        greedy = await running.connect()
        await greedy.send(get("/big") * 100)
        polite = await running.connect()
        await polite.send(get("/small"))
        assert (await polite.receive()).body == b"/small"
        with trio.fail_after(10):
            await until(lambda: not running.server.open_connections)


async def test_a_slow_reader_gets_everything() -> None:
    """What a socket does not take at once is written when it can."""
    body = bytes(range(256)) * 20_000
    async with running_server(lambda exchange: _answer(exchange, body)) as running:
        client = await running.connect()
        await client.send(get() * 3)
        await trio.sleep(0.05)
        for _ in range(3):
            assert (await client.receive()).body == body


def _answer(exchange: Exchange, body: bytes) -> None:
    exchange.answer(Answer(OK, body))


async def test_a_half_closed_client_still_gets_its_answer() -> None:
    """A client may end its direction right after its request."""
    held = Held()
    async with running_server(held) as running:
        client = await running.connect()
        await client.send(get("/half"))
        assert isinstance(client.stream, trio.SocketStream)
        await client.stream.send_eof()
        await held.wait_for(1)
        await trio.sleep(0.02)
        held.answer(0)
        assert (await client.receive()).body == b"/half"
        assert await client.receive_end() == b""


async def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    """An exchange outlives its connection without harm."""
    held = Held()
    async with running_server(held) as running:
        client = await running.connect()
        await client.send(get())
        await held.wait_for(1)
        assert isinstance(client.stream, trio.SocketStream)
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await client.stream.aclose()
        await until(lambda: not running.server.open_connections)
        assert held.exchanges[0].answer(Answer(OK, b"")) is False


async def test_a_failing_handler_is_a_500_and_counted() -> None:
    """What a handler raises becomes an answer without its message."""

    def fail(exchange: Exchange) -> None:
        raise ValueError("4242424242424242")

    async with running_server(fail) as running:
        client = await running.connect()
        await client.send(get())
        response = await client.receive()
        assert response.status == 500
        assert b"4242" not in response.body
        assert running.server.counts.handler_errors_total == 1


async def test_connections_over_the_bound_are_turned_away() -> None:
    """The bound holds, says so, and gives way when a connection ends."""
    async with running_server(echo, API(connections_max=1)) as running:
        first = await running.connect()
        await first.send(get("/1"))
        await first.receive()
        second = await running.connect()
        response = await second.receive()
        assert (response.status, response.headers["connection"]) == (503, "close")
        assert running.server.counts.refused_total == 1
        await first.stream.aclose()
        await until(lambda: not running.server.open_connections)
        third = await running.connect()
        await third.send(get("/3"))
        assert (await third.receive()).body == b"/3"


async def test_draining_finishes_what_was_asked() -> None:
    """Requests in flight are answered with `Connection: close`; idle connections end at once."""
    held = Held()
    async with running_server(held) as running:
        idle = await running.connect()
        await idle.send(get("/0"))
        await held.wait_for(1)
        held.answer(0)
        await idle.receive()
        busy = await running.connect()
        await busy.send(get("/1") + get("/2"))
        await held.wait_for(3)
        running.draining.set()
        assert await idle.receive_end() == b""
        held.answer(2, 1)
        first, last = await busy.receive(), await busy.receive()
        assert "connection" not in first.headers
        assert last.headers["connection"] == "close"
        assert await busy.receive_end() == b""
        await busy.stream.aclose()
        await until(lambda: not running.server.open_connections)


async def test_a_request_that_arrived_before_the_drain_is_answered() -> None:
    """Bytes in the socket's buffer count as asked."""
    async with running_server(echo) as running:
        client = await running.connect()
        await client.send(get("/0"))
        await client.receive()
        client_socket = client.stream
        assert isinstance(client_socket, trio.SocketStream)
        client_socket.socket._sock.send(get("/1"))  # type: ignore[attr-defined]
        running.draining.set()
        assert (await client.receive()).body == b"/1"
        assert await client.receive_end() == b""


async def test_what_does_not_end_is_cut_off() -> None:
    """A drain ends in time even if a request does not."""
    async with running_server(never, API(drain_timeout_s=0.1)) as running:
        client = await running.connect()
        await client.send(get())
        await trio.sleep(0.02)
        running.draining.set()
        assert await client.receive_end() == b""


async def test_a_canceled_server_lets_go_of_everything() -> None:
    """Cancellation from outside ends connections in any state, without a fault."""
    held = Held()
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(API(), held, finished=lambda _exchange, _status: None)
    with listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, [listener], trio.Event())
            port = listener.getsockname()[1]
            idle, busy = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
            await busy.send_all(get("/1") + get("/2"))
            await held.wait_for(2)
            nursery.cancel_scope.cancel()
        async with idle, busy:
            assert server.open_connections == 0
            assert held.exchanges[0].answer(Answer(OK, b"")) is False


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority of the test's own."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> ssl.SSLContext:
    """The server's context, from PEM files as the settings name them."""
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "api.pem", tmp_path / "api.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    return server_context(certificate, key)


async def test_the_same_over_tls(authority: trustme.CA, tls: ssl.SSLContext) -> None:
    """Requests, pipelining, large bodies and the orderly end work through TLS."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with running_server(echo, context=tls) as running:
        client = await running.connect(trusting)
        body = b"x" * 60_000
        await client.send(get("/1") + post("/2", body) + get("/3", "Connection: close\r\n"))
        bodies = [(await client.receive()).body for _ in range(3)]
        assert bodies == [b"/1", b"/2" + body, b"/3"]
        assert await client.receive_end() == b""


async def test_plain_text_on_a_tls_port_ends_the_connection(tls: ssl.SSLContext) -> None:
    """A client that speaks no TLS gets no HTTP."""
    async with running_server(echo, context=tls) as running:
        client = await running.connect()
        await client.send(get())
        rest = await client.receive_end()
        assert b"HTTP" not in rest
        assert running.finished == []
