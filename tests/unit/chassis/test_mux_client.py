from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import pytest
import trio
import trio.testing
from msgspec import Struct

from chassis.mux import (
    MuxClient,
    MuxClosedError,
    MuxError,
    MuxMessageTooLargeError,
    MuxOverloadError,
)
from chassis.mux.codec import BatchDecoder, MessageEncoder, frame_of
from chassis.settings.tree import MuxLimits


class Ask(Struct, array_like=True, frozen=True, tag="ask"):
    """A request for the tests."""

    text: str


class Told(Struct, array_like=True, frozen=True, tag="told"):
    """A reply for the tests."""

    text: str


LIMITS = MuxLimits(reconnect_min_s=0.01, reconnect_max_s=0.02, in_flight_max=4)
Client = MuxClient[Ask, Told]


class FakePeer:
    """The other end of the client's connections, driven by hand."""

    def __init__(self) -> None:
        self.stream: trio.abc.Stream | None = None
        self.dials = 0
        self._decoder: BatchDecoder[Ask] = BatchDecoder(Ask, LIMITS)

    async def dial(self) -> trio.abc.Stream:
        """Give the client one end of a new connection."""
        self.dials += 1
        self._decoder = BatchDecoder(Ask, LIMITS)
        ours, self.stream = trio.testing.memory_stream_pair()
        return ours

    async def requests(self) -> list[tuple[int, Ask]]:
        """What the client has sent in its last frame."""
        assert self.stream is not None
        return self._decoder.feed(bytes(await self.stream.receive_some()))

    async def answer(self, *replies: tuple[int, Struct]) -> None:
        """Send one frame of replies."""
        encode = MessageEncoder(LIMITS).encode
        await self.send(frame_of([encode(number, body) for number, body in replies]))

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self.stream is not None
        await self.stream.send_all(data)

    async def hang_up(self) -> None:
        """End the connection."""
        assert self.stream is not None
        await self.stream.aclose()


@pytest.fixture
def peer() -> FakePeer:
    """A peer without connections yet."""
    return FakePeer()


@pytest.fixture
async def client(peer: FakePeer, nursery: trio.Nursery) -> Client:
    """A connected client."""
    client: Client = MuxClient(request_type=Ask, reply_type=Told, limits=LIMITS, name="peer")
    await nursery.start(client.run, peer.dial)
    return client


async def _calling(client: Client, text: str, outcomes: list[object]) -> None:
    try:
        outcomes.append(await client.call(Ask(text)))
    except MuxError as error:
        outcomes.append(type(error))


async def test_calls_of_one_tick_share_a_frame_and_replies_come_in_any_order(
    client: Client, peer: FakePeer, nursery: trio.Nursery
) -> None:
    """Requests leave together, and each task gets its own reply."""
    answers: dict[str, Told] = {}

    async def ask(text: str) -> None:
        answers[text] = await client.call(Ask(text))

    for text in "abc":
        nursery.start_soon(ask, text)
    requests = await peer.requests()
    assert sorted(body.text for _, body in requests) == ["a", "b", "c"]
    assert client.in_flight == 3
    await peer.answer(*[(number, Told(body.text.upper())) for number, body in reversed(requests)])
    await trio.testing.wait_all_tasks_blocked()
    assert answers == {"a": Told("A"), "b": Told("B"), "c": Told("C")}
    assert client.in_flight == 0
    assert (client.counters.sent_total, client.counters.received_total) == (3, 3)


async def test_submit_delivers_without_a_task(client: Client, peer: FakePeer) -> None:
    """A reply reaches the function given with the request, once."""
    delivered: list[Told | MuxError] = []
    request_id = client.submit(Ask("a"), delivered.append)
    assert await peer.requests() == [(request_id, Ask("a"))]
    assert delivered == []
    await peer.answer((request_id, Told("A")))
    await trio.testing.wait_all_tasks_blocked()
    assert delivered == [Told("A")]


async def test_the_end_of_a_connection_fails_every_waiter(
    client: Client, peer: FakePeer, nursery: trio.Nursery
) -> None:
    """EOF fails calls and submitted requests alike, at once."""
    outcomes: list[object] = []
    nursery.start_soon(_calling, client, "a", outcomes)
    client.submit(Ask("b"), outcomes.append)
    await peer.requests()
    await trio.testing.wait_all_tasks_blocked()
    await peer.hang_up()
    await trio.testing.wait_all_tasks_blocked()
    assert MuxClosedError in outcomes
    assert [type(one) for one in outcomes if one is not MuxClosedError] == [MuxClosedError]
    assert client.in_flight == 0


async def test_without_a_connection_nothing_is_queued(peer: FakePeer) -> None:
    """A request that cannot leave is refused, not kept for later."""
    client: Client = MuxClient(request_type=Ask, reply_type=Told, limits=LIMITS, name="peer")
    assert not client.connected
    with pytest.raises(MuxClosedError, match="peer: not connected"):
        await client.call(Ask("a"))
    with pytest.raises(MuxClosedError):
        client.submit(Ask("a"), print)
    assert client.in_flight == 0


async def test_a_lost_connection_is_dialed_again(client: Client, peer: FakePeer) -> None:
    """After the peer's comeback requests work as before, under new ids."""
    first = client.submit(Ask("a"), lambda _: None)
    await peer.requests()
    await peer.hang_up()
    await trio.testing.wait_all_tasks_blocked()
    assert not client.connected
    with trio.fail_after(2):
        while not client.connected:
            await trio.sleep(0.002)
    delivered: list[Told | MuxError] = []
    second = client.submit(Ask("b"), delivered.append)
    assert second > first
    await peer.requests()
    await peer.answer((second, Told("B")))
    await trio.testing.wait_all_tasks_blocked()
    assert delivered == [Told("B")]
    assert peer.dials == 2


async def test_a_canceled_call_is_forgotten_and_its_reply_counted_as_late(
    client: Client, peer: FakePeer
) -> None:
    """Nobody gets a reply that nobody waits for, and the connection lives on."""
    with trio.move_on_after(0.005) as scope:
        await client.call(Ask("slow"))
    assert scope.cancelled_caught
    ((request_id, _),) = await peer.requests()
    await peer.answer((request_id, Told("late")))
    await trio.testing.wait_all_tasks_blocked()
    assert client.counters.late_total == 1
    assert client.in_flight == 0
    assert client.connected


async def test_a_call_canceled_beforehand_sends_nothing(client: Client) -> None:
    """A request is not sent for a task that is already being stopped."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.call(Ask("a"))
    assert client.counters.sent_total == 0


async def test_a_forgotten_request_is_not_delivered(client: Client, peer: FakePeer) -> None:
    """Forgetting is for deadlines: the reply is counted, the function never called."""
    delivered: list[Told | MuxError] = []
    request_id = client.submit(Ask("a"), delivered.append)
    client.forget(request_id)
    client.forget(12345)
    await peer.requests()
    await peer.answer((request_id, Told("A")))
    await trio.testing.wait_all_tasks_blocked()
    assert delivered == []
    assert client.counters.late_total == 1


async def test_requests_in_flight_are_bounded(client: Client, peer: FakePeer) -> None:
    """Forgotten requests still weigh on the peer, so they count until answered."""
    ids = [client.submit(Ask("a"), lambda _: None) for _ in range(4)]
    client.forget(ids[0])
    with pytest.raises(MuxOverloadError, match="4 requests in flight"):
        client.submit(Ask("a"), lambda _: None)
    assert client.counters.overload_total == 1
    await peer.requests()
    await peer.answer((ids[0], Told("A")))
    await trio.testing.wait_all_tasks_blocked()
    client.submit(Ask("a"), lambda _: None)


async def test_a_request_too_large_leaves_no_trace(client: Client) -> None:
    """What no frame can carry is refused to the caller alone."""
    with pytest.raises(MuxMessageTooLargeError):
        client.submit(Ask("x" * LIMITS.frame_bytes_max), lambda _: None)
    assert client.in_flight == 0
    assert client.connected


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(b"\xff\xff\xff\xff", "length 4294967295", id="oversized length"),
        pytest.param(b"\x00\x00\x00\x01\xc1", "not a batch", id="garbage"),
        pytest.param(
            frame_of([msgspec.msgpack.encode((1, Ask("a")))]), "not a batch", id="wrong type"
        ),
        pytest.param(
            frame_of([msgspec.msgpack.encode((99, Told("a")))]), "no request", id="wrong id"
        ),
    ],
)
async def test_a_peer_that_breaks_the_format_loses_the_connection(
    client: Client, peer: FakePeer, sent: bytes, reason: str, nursery: trio.Nursery
) -> None:
    """A malformed frame fails the waiters, is counted, and is followed by a new connection."""
    outcomes: list[object] = []
    nursery.start_soon(_calling, client, "a", outcomes)
    await peer.requests()
    await peer.send(sent)
    await trio.testing.wait_all_tasks_blocked()
    assert outcomes == [MuxClosedError]
    assert client.counters.protocol_errors_total == 1
    assert reason in client.last_failure


async def test_a_stream_cut_inside_a_frame_is_a_protocol_error(
    client: Client, peer: FakePeer
) -> None:
    """EOF in the middle of a reply is told from a clean end."""
    await peer.send(b"\x00\x00\x01\x00half")
    await peer.hang_up()
    await trio.testing.wait_all_tasks_blocked()
    assert "ended after" in client.last_failure


async def test_replies_survive_one_byte_at_a_time(client: Client, peer: FakePeer) -> None:
    """The reader needs no luck with how bytes arrive."""
    delivered: list[Told | MuxError] = []
    request_id = client.submit(Ask("a"), delivered.append)
    await peer.requests()
    for byte in frame_of([msgspec.msgpack.encode((request_id, Told("A")))]):
        await peer.send(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked()
    assert delivered == [Told("A")]


async def test_a_dial_that_hangs_or_fails_is_tried_again(nursery: trio.Nursery) -> None:
    """Neither a refusal nor a silent listener stops the client, and the reason is kept."""
    limits = MuxLimits(reconnect_min_s=0.001, reconnect_max_s=0.002, connect_timeout_s=0.01)
    client: Client = MuxClient(request_type=Ask, reply_type=Told, limits=limits, name="peer")
    far: list[trio.abc.Stream] = []
    failures: list[str] = []

    async def refuse() -> None:
        raise ConnectionRefusedError("nobody there")

    attempts: list[Callable[[], object]] = [refuse, trio.sleep_forever]

    async def dial() -> trio.abc.Stream:
        failures.append(client.last_failure)
        if attempts:
            await attempts.pop(0)()  # type: ignore[misc]
        near, other = trio.testing.memory_stream_pair()
        far.append(other)
        return near

    with trio.fail_after(2):
        await nursery.start(partial(client.run, dial))
    assert client.connected
    assert "nobody there" in failures[1]
    assert "TooSlowError" in failures[2]


async def test_stopping_the_client_fails_its_waiters(peer: FakePeer) -> None:
    """Canceling `run` leaves nobody waiting for ever."""
    client: Client = MuxClient(request_type=Ask, reply_type=Told, limits=LIMITS, name="peer")
    outcomes: list[object] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run, peer.dial)
        client.submit(Ask("a"), outcomes.append)
        nursery.cancel_scope.cancel()
    assert [type(one) for one in outcomes] == [MuxClosedError]
    assert not client.connected


async def test_a_peer_that_answered_is_dialed_again_quickly(
    autojump_clock: trio.testing.MockClock, peer: FakePeer, nursery: trio.Nursery
) -> None:
    """One answer makes up for any number of failures before it."""
    limits = MuxLimits(reconnect_min_s=0.001, reconnect_max_s=1e6)
    client: Client = MuxClient(request_type=Ask, reply_type=Told, limits=limits, name="peer")
    failures = 25

    async def dial() -> trio.abc.Stream:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionRefusedError
        return await peer.dial()

    await nursery.start(client.run, dial)
    request_id = client.submit(Ask("a"), lambda _: None)
    await peer.requests()
    await peer.answer((request_id, Told("A")))
    await trio.testing.wait_all_tasks_blocked()
    before = trio.current_time()
    await peer.hang_up()
    while peer.dials < 2:
        await trio.sleep(0.01)
    assert trio.current_time() - before < 0.1
