from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing
from msgspec import Struct

from chassis.mux import MuxPeer, MuxServer
from chassis.mux.codec import BatchDecoder, MessageEncoder, frame_of
from chassis.settings.tree import MuxLimits


class Ask(Struct, array_like=True, frozen=True, tag="ask"):
    """A request for the tests."""

    text: str


class Told(Struct, array_like=True, frozen=True, tag="told"):
    """A reply for the tests."""

    text: str


LIMITS = MuxLimits(in_flight_max=5, connections_max=2, outbox_messages_max=8)
Peer = MuxPeer[Told]


class Desk:
    """A server whose batches are kept, and connections to it in memory."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.batches: list[tuple[Peer, list[tuple[int, Ask]]]] = []
        self.gone: list[Peer] = []
        self.server: MuxServer[Ask, Told] = MuxServer(
            request_type=Ask,
            reply_type=Told,
            limits=LIMITS,
            on_batch=lambda peer, batch: self.batches.append((peer, batch)),
            on_close=self.gone.append,
        )
        self._nursery = nursery

    async def connect(self) -> trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]:
        """A new connection; the server's end runs in the background."""
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.server.serve_stream, theirs)
        await trio.testing.wait_all_tasks_blocked()
        return ours  # type: ignore[return-value]


@pytest.fixture
def desk(nursery: trio.Nursery) -> Desk:
    """A server in memory."""
    return Desk(nursery)


def _ask(*texts: str, first_id: int = 1) -> bytes:
    encode = MessageEncoder(LIMITS).encode
    return frame_of([encode(number, Ask(text)) for number, text in enumerate(texts, first_id)])


async def test_one_read_is_one_batch_and_one_tick_of_replies_one_frame(desk: Desk) -> None:
    """Merged frames reach the handler together, and the replies leave together."""
    stream = await desk.connect()
    await stream.send_all(_ask("a", "b") + _ask("c", first_id=3))
    await trio.testing.wait_all_tasks_blocked()
    ((peer, batch),) = desk.batches
    assert batch == [(1, Ask("a")), (2, Ask("b")), (3, Ask("c"))]
    assert (peer.uid, peer.in_flight) == (None, 3)
    for number, body in reversed(batch):
        peer.reply(number, Told(body.text.upper()))
    data = bytes(await stream.receive_some())
    decoder: BatchDecoder[Told] = BatchDecoder(Told, LIMITS)
    assert decoder.feed(data) == [(3, Told("C")), (2, Told("B")), (1, Told("A"))]
    assert peer.in_flight == 0
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert desk.server.counters.frames_total == 1


async def test_requests_survive_one_byte_at_a_time(desk: Desk) -> None:
    """The reader needs no luck with how bytes arrive."""
    stream = await desk.connect()
    for byte in _ask("a", "b"):
        await stream.send_all(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked()
    assert [batch for _, batch in desk.batches] == [[(1, Ask("a")), (2, Ask("b"))]]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(b"\xff\xff\xff\xff", "length 4294967295", id="oversized length"),
        pytest.param(b"\x00\x00\x00\x00", "length 0", id="empty frame"),
        pytest.param(b"GET / HTTP/1.1\r\n", "length 1195725856", id="another protocol"),
        pytest.param(b"\x00\x00\x00\x01\xc1", "not a batch", id="garbage"),
        pytest.param(
            frame_of([msgspec.msgpack.encode((1, Told("a")))]), "not a batch", id="wrong type"
        ),
        pytest.param(_ask(*"abcdef"), "more than 5 requests", id="too many in flight"),
    ],
)
async def test_a_client_that_breaks_the_rules_loses_its_connection_alone(
    desk: Desk, sent: bytes, reason: str
) -> None:
    """Each bad twin closes its own connection, is counted, and touches nobody else."""
    good, bad = await desk.connect(), await desk.connect()
    await bad.send_all(sent)
    assert await bad.receive_some() == b""
    await trio.testing.wait_all_tasks_blocked()
    assert desk.server.counters.protocol_errors_total == 1
    assert reason in desk.server.last_failure
    assert len(desk.gone) == 1
    await good.send_all(_ask("a"))
    await trio.testing.wait_all_tasks_blocked()
    assert desk.batches[-1][1] == [(1, Ask("a"))]


async def test_eof_inside_a_frame_is_a_protocol_error_and_a_clean_end_is_not(desk: Desk) -> None:
    """A cut request is told from a client that is done."""
    cut, clean = await desk.connect(), await desk.connect()
    await clean.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert (desk.server.counters.protocol_errors_total, len(desk.gone)) == (0, 1)
    await cut.send_all(_ask("a")[:-1])
    await cut.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert (desk.server.counters.protocol_errors_total, len(desk.gone)) == (1, 2)


async def test_replies_to_a_client_that_has_gone_are_dropped_and_counted(desk: Desk) -> None:
    """A dead client costs nothing but a count."""
    stream = await desk.connect()
    await stream.send_all(_ask("a"))
    await trio.testing.wait_all_tasks_blocked()
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    ((peer, _),) = desk.batches
    assert peer.closed
    peer.reply(1, Told("A"))
    assert desk.server.counters.dropped_total == 1
    assert peer.in_flight == 0


async def test_a_client_that_does_not_read_stalls_and_loses_only_itself(
    nursery: trio.Nursery,
) -> None:
    """A full outbox closes its connection while the other goes on being answered."""
    server: MuxServer[Ask, Told]
    answered: list[int] = []

    def on_batch(peer: Peer, batch: list[tuple[int, Ask]]) -> None:
        for number, body in batch:
            answered.append(number)
            peer.reply(number, Told(body.text))

    server = MuxServer(request_type=Ask, reply_type=Told, limits=LIMITS, on_batch=on_batch)
    # A lockstep stream carries nothing until the other end reads: a peer with no buffer at all.
    stalled, theirs = trio.testing.lockstep_stream_pair()
    nursery.start_soon(server.serve_stream, theirs)
    for number in range(10):
        await stalled.send_all(_ask("x", first_id=number))
        await trio.testing.wait_all_tasks_blocked()
        if not server.peers:
            break
    assert answered == list(range(10))
    assert server.peers == set()
    assert "outbox holds 8 messages" in server.last_failure
    reading, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(server.serve_stream, theirs)
    await reading.send_all(_ask("y", first_id=77))
    assert b"y" in await reading.receive_some()


async def test_a_reply_no_frame_can_carry_closes_the_connection(desk: Desk) -> None:
    """The client learns by EOF instead of waiting for ever."""
    stream = await desk.connect()
    await stream.send_all(_ask("a"))
    await trio.testing.wait_all_tasks_blocked()
    desk.batches[0][0].reply(1, Told("x" * LIMITS.frame_bytes_max))
    assert await stream.receive_some() == b""
    await trio.testing.wait_all_tasks_blocked()
    assert "Told of" in desk.server.last_failure


async def test_connections_are_bounded(desk: Desk) -> None:
    """One client cannot take every file descriptor."""
    for _ in range(2):
        await desk.connect()
    third = await desk.connect()
    assert await third.receive_some() == b""
    assert desk.server.counters.overload_total == 1
    assert len(desk.server.peers) == 2


async def test_an_error_of_the_handler_is_not_swallowed() -> None:
    """A broken handler ends the server loudly instead of losing requests silently."""

    def on_batch(_peer: Peer, _batch: list[tuple[int, Ask]]) -> None:
        raise ZeroDivisionError

    server: MuxServer[Ask, Told] = MuxServer(
        request_type=Ask, reply_type=Told, limits=LIMITS, on_batch=on_batch
    )
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(_ask("a"))
    with pytest.RaisesGroup(ZeroDivisionError):
        await server.serve_stream(theirs)
    assert server.peers == set()
