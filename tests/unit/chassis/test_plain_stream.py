"""The plain socket stream: one receive, one send a chunk."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from chassis.plain_stream import PlainStream

LARGE = os.urandom(4_000_000)  # more than a socket's buffer holds

Ends = tuple[PlainStream, PlainStream]


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """Both ends of one connection."""
    near, far = trio.socket.socketpair()
    client, server = PlainStream(near), PlainStream(far)
    with trio.fail_after(5):
        async with client, server:
            yield client, server


async def test_what_was_sent_arrives(ends: Ends) -> None:
    """Bytes go both ways, and what is queued is received at once."""
    client, server = ends
    await client.send_all(b"one ")
    await client.send_all(bytearray(b"two"))
    assert await server.receive_some() == b"one two"
    await server.send_all(memoryview(b"back"))
    assert await client.receive_some(2) == b"ba"
    assert await client.receive_some(2) == b"ck"


async def test_more_than_the_kernel_holds_arrives_whole(ends: Ends) -> None:
    """A sender waits for room, and nothing is lost or doubled."""
    client, server = ends
    received = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, LARGE)
        while len(received) < len(LARGE):
            received += await server.receive_some()
    assert bytes(received) == LARGE


async def test_the_end_of_the_peer_is_an_empty_receive(ends: Ends) -> None:
    """A peer that closed in order is told apart from one that was lost."""
    client, server = ends
    await client.send_all(b"last")
    await client.aclose()
    assert await server.receive_some() == b"last"
    assert await server.receive_some() == b""


async def test_a_lost_peer_breaks_both_directions() -> None:
    """A reset connection raises the error that every Trio stream raises."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, trio.fail_after(5):
        stream = await trio.open_tcp_stream(*listener.getsockname())
        client = PlainStream(stream.socket)
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()  # with a reset
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"x")
        await client.aclose()


async def test_a_closed_stream_refuses_use_and_wakes_its_reader(ends: Ends) -> None:
    """Closing ends a receive under way, and later calls say why they fail."""
    client, _ = ends
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.receive_some()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await client.aclose()
    for call in (client.receive_some, client.wait_send_all_might_not_block):
        with pytest.raises(trio.ClosedResourceError):
            await call()
    with pytest.raises(trio.ClosedResourceError):
        await client.send_all(b"x")


async def test_a_canceled_receive_takes_nothing(ends: Ends) -> None:
    """What arrives after a canceled receive is there for the next one."""
    client, server = ends
    with trio.move_on_after(0.01):
        await server.receive_some()
    await client.send_all(b"kept")
    assert await server.receive_some() == b"kept"


async def test_room_is_told_of(ends: Ends) -> None:
    """A fresh connection has room to send."""
    await ends[0].wait_send_all_might_not_block()
