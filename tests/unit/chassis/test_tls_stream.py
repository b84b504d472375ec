from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from chassis.pki import development_pki
from chassis.tls import client_context, server_context
from chassis.tls_stream import TLSStream

SERVER_NAME = "vsim.turnout.test"
CLIENT_NAME = "acquirer.turnout.test"
SEVERAL_RECORDS = os.urandom(40_000)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's and a server's context that trust each other."""
    folder = tmp_path_factory.mktemp("pki")
    development_pki(folder, {"server": (SERVER_NAME, "server"), "client": (CLIENT_NAME, "client")})
    return (
        client_context(**_files(folder, "client")),
        server_context(**_files(folder, "server")),
    )


def _files(folder: Path, stem: str) -> dict[str, Path]:
    return {
        "ca": folder / "ca.pem",
        "certificate": folder / f"{stem}.pem",
        "key": folder / f"{stem}.key",
    }


@attrs.frozen
class Ends:
    """Both ends of one connection, and the client's socket behind its back."""

    client: TLSStream
    server: TLSStream
    client_socket: socket.socket


@pytest.fixture
async def ends(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[Ends]:
    """A connection after its handshake."""
    near, far = trio.socket.socketpair()
    behind = socket.socket(fileno=os.dup(near.fileno()))
    client = TLSStream(trio.SocketStream(near), contexts[0], server_hostname=SERVER_NAME)
    server = TLSStream(trio.SocketStream(far), contexts[1], server_side=True)
    with trio.fail_after(5), behind:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.do_handshake)
            nursery.start_soon(server.do_handshake)
        yield Ends(client, server, behind)
        for stream in (client, server):
            await trio.aclose_forcefully(stream)


async def _receive(stream: TLSStream, count: int) -> bytes:
    received = b""
    while len(received) < count:
        received += await stream.receive_some()
    return received


async def test_bytes_flow_both_ways(ends: Ends) -> None:
    """What one end sends the other receives, whichever began."""
    await ends.client.send_all(b"question")
    assert await ends.server.receive_some() == b"question"
    await ends.server.send_all(bytearray(b"answer"))
    assert await ends.client.receive_some() == b"answer"


async def test_all_records_at_hand_are_one_receive(ends: Ends) -> None:
    """Records sent one by one and waiting come back in one piece."""
    for piece in (b"one ", b"two ", b"three"):
        await ends.client.send_all(piece)
    assert await ends.server.receive_some() == b"one two three"


async def test_data_of_several_records_arrive_whole(ends: Ends) -> None:
    """Data longer than a record, and than one send of the kernel's, keep their order."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.client.send_all, SEVERAL_RECORDS)
        assert await _receive(ends.server, len(SEVERAL_RECORDS)) == SEVERAL_RECORDS


async def test_a_limit_leaves_the_rest_for_the_next_receive(ends: Ends) -> None:
    """A receive returns no more than was asked for, and nothing is lost."""
    await ends.client.send_all(b"abc")
    await ends.client.send_all(b"def")
    pieces = [await ends.server.receive_some(2) for _ in range(3)]
    assert pieces == [b"ab", b"cd", b"ef"]


async def test_a_record_in_two_pieces_is_waited_for(ends: Ends) -> None:
    """Half a record is nothing yet, however it was cut."""
    ends.client.tls.write(b"whole")
    encrypted = ends.client._outgoing.read()
    ends.client_socket.send(encrypted[:7])
    with trio.move_on_after(0.01) as scope:
        await ends.server.receive_some()
    assert scope.cancelled_caught
    ends.client_socket.send(encrypted[7:])
    assert await ends.server.receive_some() == b"whole"


async def test_a_good_bye_is_an_empty_receive(ends: Ends) -> None:
    """After the peer's close every receive is empty."""
    await ends.client.send_all(b"last words")
    await ends.client.aclose()
    assert await ends.server.receive_some() == b"last words"
    assert [await ends.server.receive_some() for _ in range(2)] == [b"", b""]


async def test_an_end_without_good_bye_is_a_loss(ends: Ends) -> None:
    """A connection that is cut, by an attacker perhaps, is no end of the conversation."""
    await trio.aclose_forcefully(ends.client)
    ends.client_socket.shutdown(socket.SHUT_RDWR)
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError) as caught:
            await ends.server.receive_some()
        assert isinstance(caught.value.__cause__, ssl.SSLEOFError)


async def test_what_came_before_a_forged_record_counts(ends: Ends) -> None:
    """Good records are handed over; then the forgery is told of, to both ends."""
    await ends.client.send_all(b"good")
    ends.client_socket.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert await ends.server.receive_some() == b"good"
    with pytest.raises(trio.BrokenResourceError) as caught:
        await ends.server.receive_some()
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    with pytest.raises(trio.BrokenResourceError) as told:
        await ends.client.receive_some()
    assert "alert" in str(told.value.__cause__)


async def test_a_send_waits_for_room_and_survives_its_cancelation(ends: Ends) -> None:
    """What a canceled send left behind leaves ahead of the next one, so that order holds."""
    flood = os.urandom(4_000_000)
    with trio.move_on_after(0.01) as scope:
        await ends.client.send_all(flood)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.client.send_all, b"after the flood")
        expected = flood + b"after the flood"
        assert await _receive(ends.server, len(expected)) == expected


async def test_sending_nothing_sends_nothing(ends: Ends) -> None:
    """An empty send is no end of the stream."""
    await ends.client.send_all(b"")
    await ends.client.send_all(b"something")
    assert await ends.server.receive_some() == b"something"


async def test_closing_wakes_the_receiver(ends: Ends) -> None:
    """A task that waits for bytes learns that its own end was closed."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, ends.client)
        await trio.testing.wait_all_tasks_blocked()
        await ends.client.aclose()


async def _expect_closed(stream: TLSStream) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_closed_stream_says_so(ends: Ends) -> None:
    """Nothing works after closing but closing again."""
    await ends.client.aclose()
    await ends.client.aclose()
    await _expect_closed(ends.client)
    with pytest.raises(trio.ClosedResourceError):
        await ends.client.send_all(b"too late")
    with pytest.raises(trio.ClosedResourceError):
        await ends.client.wait_send_all_might_not_block()


async def test_a_lost_connection_breaks_sending(ends: Ends) -> None:
    """The peer is gone: sooner or later a send fails as lost, not as an OS error."""
    await trio.aclose_forcefully(ends.server)
    with pytest.raises(trio.BrokenResourceError):
        await ends.client.send_all(b"anybody?")


async def test_an_end_without_good_bye_can_be_made(ends: Ends) -> None:
    """As by a peer that crashed: what was sent arrives, then the loss; closing again is nothing."""
    await ends.server.send_all(b"last words")
    for _ in range(2):
        await ends.server.aclose_without_goodbye()
    assert await ends.client.receive_some() == b"last words"
    with pytest.raises(trio.BrokenResourceError) as raised:
        await ends.client.receive_some()
    assert isinstance(raised.value.__cause__, ssl.SSLEOFError)


async def test_a_reset_can_be_made(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Over TCP, which knows resets: the peer is told so by its kernel."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    near = await trio.open_tcp_stream(*listener.socket.getsockname())
    client = TLSStream(near, contexts[0], server_hostname=SERVER_NAME)
    server = TLSStream(await listener.accept(), contexts[1], server_side=True)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.do_handshake)
            nursery.start_soon(server.do_handshake)
        await server.aclose_without_goodbye(reset=True)
        with pytest.raises(trio.BrokenResourceError) as raised:
            await client.receive_some()
    assert isinstance(raised.value.__cause__, ConnectionResetError)
    await client.aclose()
    await listener.aclose()
