from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
from msgspec import Struct

from chassis.mux import (
    MuxClient,
    MuxClosedError,
    MuxError,
    MuxPeer,
    MuxServer,
    dial_unix,
)
from chassis.pki import development_pki
from chassis.settings.tree import MuxLimits
from chassis.tls import Role, accept_tls, client_context, connect_tls, server_context


class Ask(Struct, array_like=True, frozen=True, tag="ask"):
    """A request for the tests."""

    text: str


class Told(Struct, array_like=True, frozen=True, tag="told"):
    """A reply for the tests."""

    text: str


LIMITS = MuxLimits(reconnect_min_s=0.005, reconnect_max_s=0.01)


def _answer(peer: MuxPeer[Told], batch: list[tuple[int, Ask]]) -> None:
    for number, body in batch:
        peer.reply(number, Told(body.text.upper()))


def _server(limits: MuxLimits = LIMITS) -> MuxServer[Ask, Told]:
    return MuxServer(request_type=Ask, reply_type=Told, limits=limits, on_batch=_answer)


def _client(limits: MuxLimits = LIMITS) -> MuxClient[Ask, Told]:
    return MuxClient(request_type=Ask, reply_type=Told, limits=limits, name="server")


async def _eventually(condition: Callable[[], bool]) -> None:
    """Wait, within bounds, for what sockets bring about in their own time."""
    with trio.fail_after(5):
        while not condition():
            await trio.sleep(0.001)


@pytest.fixture
def path() -> Iterator[str]:
    """A short path for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="mux-") as folder:
        yield str(Path(folder, "mux.sock"))


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    return listener


async def test_a_thousand_calls_over_a_unix_socket(path: str, nursery: trio.Nursery) -> None:
    """Every call gets its own answer, and the peer's user is known."""
    server, client = _server(), _client()
    await nursery.start(partial(server.serve, _listen(path), allowed_uids={os.getuid()}))
    await nursery.start(client.run, partial(dial_unix, path))
    answers: dict[str, str] = {}

    async def ask(text: str) -> None:
        answers[text] = (await client.call(Ask(text))).text

    async with trio.open_nursery() as calls:
        for number in range(1_000):
            calls.start_soon(ask, f"call {number}")
    assert answers == {f"call {number}": f"CALL {number}" for number in range(1_000)}
    assert {peer.uid for peer in server.peers} == {os.getuid()}


async def test_a_stranger_is_refused_by_the_server(path: str, nursery: trio.Nursery) -> None:
    """A process of another user gets no word in, whatever it sends."""
    server = _server()
    await nursery.start(partial(server.serve, _listen(path), allowed_uids={os.getuid() + 1}))
    async with await dial_unix(path) as stream:
        assert await stream.receive_some() == b""
    assert server.counters.refused_total == 1
    assert server.counters.connections_total == 0


async def test_a_stranger_who_listens_is_refused_by_the_client(path: str) -> None:
    """Requests are not shown to another user's process that took the path."""
    with _listen(path), pytest.raises(PermissionError, match="listens there"):
        await dial_unix(path, allowed_uids={os.getuid() + 1})


async def test_a_path_too_long_for_a_socket_is_said() -> None:
    """The kernel's limit is named instead of a truncated path being used."""
    with pytest.raises(ValueError, match="107 bytes"):
        await dial_unix("/tmp/" + "x" * 200)


async def test_users_cannot_be_checked_on_tcp() -> None:
    """A check that would let everyone in is refused when it is asked for."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ValueError, match="Unix"),
    ):
        await _server().serve(listener, allowed_uids={0})


async def test_the_same_over_tcp(nursery: trio.Nursery) -> None:
    """Any stream carries the mux."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    client = _client()
    await nursery.start(_server().serve, listener)
    await nursery.start(client.run, partial(trio.open_tcp_stream, "127.0.0.1", port))
    assert await client.call(Ask("tcp")) == Told("TCP")


async def test_the_same_over_mutual_tls(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Between machines the stream is TLS, and the peer's certificate its passport."""
    names: dict[str, tuple[str, Role]] = {
        "server": ("switch.turnout.test", "server"),
        "client": ("api.turnout.test", "client"),
    }
    development_pki(tmp_path, names)
    near, far = (
        make(
            ca=tmp_path / "ca.pem",
            certificate=tmp_path / f"{stem}.pem",
            key=tmp_path / f"{stem}.key",
        )
        for make, stem in ((client_context, "client"), (server_context, "server"))
    )
    server, client = _server(), _client()

    async def accept(transport: trio.SocketStream) -> None:
        stream = await accept_tls(transport, far, client_names={"api.turnout.test"})
        await server.serve_stream(stream)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, accept, [listener])
    port = listener.socket.getsockname()[1]
    dial = partial(connect_tls, "127.0.0.1", port, near, server_name="switch.turnout.test")
    await nursery.start(client.run, dial)
    assert await client.call(Ask("tls")) == Told("TLS")


async def test_the_server_dies_and_comes_back(path: str, nursery: trio.Nursery) -> None:
    """Waiters fail at once, and calls work again after the comeback."""
    client = _client()
    silent: MuxServer[Ask, Told] = MuxServer(
        request_type=Ask, reply_type=Told, limits=LIMITS, on_batch=lambda _peer, _batch: None
    )
    outcomes: list[Told | MuxError] = []
    async with trio.open_nursery() as first:
        await first.start(silent.serve, _listen(path))
        await nursery.start(client.run, partial(dial_unix, path))
        for number in range(50):
            client.submit(Ask(f"lost {number}"), outcomes.append)
        await _eventually(lambda: silent.counters.received_total == 50)
        first.cancel_scope.cancel()
    await _eventually(lambda: len(outcomes) == 50)
    assert {type(one) for one in outcomes} == {MuxClosedError}
    await trio.Path(path).unlink()
    await nursery.start(_server().serve, _listen(path))
    await _eventually(lambda: client.connected)
    assert await client.call(Ask("again")) == Told("AGAIN")


async def test_a_stalled_reader_over_a_real_socket_loses_only_itself(
    path: str, nursery: trio.Nursery
) -> None:
    """Once the kernel's buffer and the outbox are full the stalled client is dropped."""
    limits = MuxLimits(outbox_messages_max=64, in_flight_max=1_000_000)
    server, client = _server(limits), _client()
    await nursery.start(server.serve, _listen(path))
    await nursery.start(client.run, partial(dial_unix, path))
    stalled = _client(limits)
    near = await dial_unix(path)

    class Deaf(trio.abc.Stream):
        """Sends for real and never reads."""

        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            await near.send_all(data)

        async def wait_send_all_might_not_block(self) -> None:
            await near.wait_send_all_might_not_block()

        async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002
            await trio.sleep_forever()
            raise AssertionError

        async def aclose(self) -> None:
            await near.aclose()

    async def dial() -> trio.abc.Stream:
        return Deaf()

    await nursery.start(stalled.run, dial)
    with trio.fail_after(10):
        while len(server.peers) == 2:
            for _ in range(50):
                if stalled.connected:
                    stalled.submit(Ask("x" * 1_000), lambda _reply: None)
            await trio.lowlevel.checkpoint()
            assert await client.call(Ask("alive")) == Told("ALIVE")
    assert "outbox holds 64 messages" in server.last_failure
    assert client.connected
