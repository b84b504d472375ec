"""Link groups over real sockets and mutual TLS, against the simulated network and worse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from chassis.framing import LengthFramer
from chassis.settings.tree import Network
from chassis.tls import accept_tls, client_context, connect_tls, server_context
from chassis.tls_stream import TLSStream
from switch.iso8583 import load_dialect
from switch.link.correlation import correlation_key
from switch.link.events import Answered, LinkEvent, NotSent, Unknown
from switch.link.group import LinkGroup
from switch.link.states import State
from tests.support.network import sale
from tests.support.network_host import CLIENT, SERVER, make_pki, run_network

DIALECT = load_dialect("net87b")
SETTINGS = Network(
    server_name=SERVER,
    client_name=CLIENT,
    reconnect_min_s=0.01,
    reconnect_max_s=0.02,
    sign_on_timeout_s=1.0,
)
Converse = Callable[[TLSStream], Awaitable[None]]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of the network, of its acquirer and of a stranger."""
    directory = tmp_path_factory.mktemp("pki")
    make_pki(directory)
    return directory


class Switch:
    """A link group with its events; `port` may change between connections."""

    def __init__(
        self, pki: Path, port: int, certificate: str = "switch", **changes: object
    ) -> None:
        self.port = port
        self.events: list[LinkEvent] = []
        self._context = client_context(
            ca=pki / "ca.pem",
            certificate=pki / f"{certificate}.pem",
            key=pki / f"{certificate}.key",
        )
        numbers = count(900_000)
        self.group = LinkGroup(
            "vsim",
            replace(SETTINGS, **changes),
            DIALECT,
            self._connect,
            on_events=self.events.extend,
            next_stan=lambda: (f"{next(numbers):06d}", "1122071000"),
            lease_holds=lambda: True,
        )

    async def _connect(self, _turn: int, reached: Callable[[], None]) -> trio.abc.Stream:
        return await connect_tls(
            "127.0.0.1", self.port, self._context, server_name=SERVER, reached=reached
        )

    def send(self, number: int, **changes: str) -> None:
        """Send one sale, its number as token."""
        slot = self.group.reserve()
        assert slot is not None
        numbered: dict[int, str | None] = {11: f"{number:06d}", 37: f"{number:012d}"}
        fields = sale(numbered | {int(name[2:]): value for name, value in changes.items()})
        self.group.send(
            slot, correlation_key(fields), DIALECT.encode(fields), number, trio.current_time()
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait, within bounds, for what the network brings about."""
        with trio.fail_after(10):
            while not condition():
                await trio.sleep(0.002)


@asynccontextmanager
async def _far_end(pki: Path, converse: Converse) -> AsyncIterator[int]:
    """A network that misbehaves as told, once TLS stands; yields its port."""
    context = server_context(ca=pki / "ca.pem", certificate=pki / "vsim.pem", key=pki / "vsim.key")

    async def handle(transport: trio.SocketStream) -> None:
        try:
            stream = await accept_tls(transport, context, client_names={CLIENT})
        except (OSError, trio.BrokenResourceError):
            return
        try:
            await converse(stream)
        except trio.BrokenResourceError:
            return
        finally:
            await trio.aclose_forcefully(stream)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _accept_sign_on(stream: trio.abc.Stream) -> LengthFramer:
    framer = LengthFramer(2, 4_096)
    (frame,) = framer.feed(bytes(await stream.receive_some()))
    fields = DIALECT.decode(frame) | {0: "0810", 39: "00"}
    await stream.send_all(framer.wrap(DIALECT.encode(fields)))
    return framer


async def test_hundreds_of_sales_over_two_links(pki: Path, tmp_path: Path) -> None:
    """Every sale is answered to its own token, both links carry some, and sign-off is clean."""
    async with run_network(tmp_path, pki, DIALECT) as network, trio.open_nursery() as nursery:
        switch = Switch(pki, network.port)
        nursery.start_soon(switch.group.run)
        with trio.fail_after(5):
            await switch.group.wait_up(2)
        for number in range(1, 601):
            switch.send(number)
        await switch.until(lambda: len(switch.events) == 600)
        assert {type(event) for event in switch.events} == {Answered}
        answered = {event.token: event.fields for event in switch.events}  # type: ignore[union-attr]
        assert {number: fields[11] for number, fields in answered.items()} == {
            number: f"{number:06d}" for number in range(1, 601)
        }
        assert {fields[39] for fields in answered.values()} == {"00"}
        assert {event.link for event in switch.events if isinstance(event, Answered)} == {0, 1}
        with trio.fail_after(5):
            await switch.group.drain()
        assert [link.session.state for link in switch.group.links] == [State.DOWN, State.DOWN]
        assert switch.group.counters.alarms_total == 0


async def test_a_stranger_never_gets_up(pki: Path, tmp_path: Path) -> None:
    """Under TLS 1.3 the handshake seems to work; the sign-on fails, and after three: alarm."""
    async with run_network(tmp_path, pki, DIALECT) as network, trio.open_nursery() as nursery:
        switch = Switch(pki, network.port, "stranger", connections=1)
        nursery.start_soon(switch.group.run)
        await switch.until(lambda: switch.group.counters.alarms_total == 1)
        assert switch.group.counters.sign_ons_total == 0
        assert switch.group.reserve() is None
        assert network.host.frames.frames_total == 0
        nursery.cancel_scope.cancel()


async def test_a_network_of_another_ca_is_not_spoken_to(pki: Path, tmp_path: Path) -> None:
    """The client aborts in the handshake: no sign-on, so no byte of ours, is sent."""
    make_pki(tmp_path)
    heard: list[bytes] = []

    async def listen(stream: trio.abc.Stream) -> None:
        heard.append(bytes(await stream.receive_some()))

    async with _far_end(tmp_path, listen) as port, trio.open_nursery() as nursery:
        switch = Switch(pki, port, connections=1)
        nursery.start_soon(switch.group.run)
        await switch.until(lambda: switch.group.counters.lost_total >= 3)
        assert switch.group.counters.connections_total == 0
        assert heard == []
        nursery.cancel_scope.cancel()


async def test_a_network_that_dies_and_comes_back(pki: Path, tmp_path: Path) -> None:
    """What was in flight is unknown at once, and the links sign on to the new process."""
    async with trio.open_nursery() as nursery:
        async with run_network(tmp_path, pki, DIALECT) as network:
            switch = Switch(pki, network.port, response_deadline_s=30.0)
            nursery.start_soon(switch.group.run)
            await switch.group.wait_up(2)
            for number in range(1, 11):
                switch.send(number, de2="4000000000007809")
            await switch.until(lambda: network.host.frames.withheld_total == 10)
        await switch.until(lambda: len(switch.events) == 10)
        assert sorted(event.token for event in switch.events) == list(range(1, 11))  # type: ignore[union-attr]
        assert {type(event) for event in switch.events} == {Unknown}
        async with run_network(tmp_path, pki, DIALECT) as network:
            switch.port = network.port
            with trio.fail_after(5):
                await switch.group.wait_up(2)
            switch.send(11)
            await switch.until(lambda: len(switch.events) == 11)
            assert isinstance(switch.events[-1], Answered)
            nursery.cancel_scope.cancel()


async def test_the_whole_conversation_one_byte_a_segment(pki: Path, tmp_path: Path) -> None:
    """Handshake, sign-on and sales survive a path that delivers single bytes."""

    async def trickle(source: trio.SocketStream, sink: trio.SocketStream) -> None:
        async for data in source:
            for byte in data:
                await sink.send_all(bytes([byte]))

    async with run_network(tmp_path, pki, DIALECT) as network, trio.open_nursery() as nursery:

        async def relay(near: trio.SocketStream) -> None:
            far = await trio.open_tcp_stream("127.0.0.1", network.port)
            async with far, trio.open_nursery() as both:
                both.start_soon(trickle, near, far)
                await trickle(far, near)
                both.cancel_scope.cancel()

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, relay, listeners)
        switch = Switch(pki, listeners[0].socket.getsockname()[1], connections=1)
        nursery.start_soon(switch.group.run)
        for number in range(1, 4):
            with trio.fail_after(5):
                await switch.group.wait_up()
            switch.send(number)
        await switch.until(lambda: len(switch.events) == 3)
        assert {type(event) for event in switch.events} == {Answered}
        with trio.fail_after(5):
            await switch.group.drain()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("clean", [True, False])
async def test_a_connection_cut_inside_an_answer(pki: Path, clean: bool) -> None:  # noqa: FBT001
    """Half an answer is no answer, whether TLS said good-bye or the socket just went."""

    async def half_an_answer(stream: Any) -> None:
        framer = await _accept_sign_on(stream)
        (frame,) = framer.feed(bytes(await stream.receive_some()))
        answer = framer.wrap(DIALECT.encode(DIALECT.decode(frame) | {0: "0210", 39: "00"}))
        await stream.send_all(answer[:-1])
        if clean:
            await stream.aclose()
        else:
            await trio.aclose_forcefully(stream)

    async with _far_end(pki, half_an_answer) as port, trio.open_nursery() as nursery:
        switch = Switch(pki, port, connections=1)
        nursery.start_soon(switch.group.run)
        await switch.group.wait_up()
        switch.send(1)
        await switch.until(lambda: bool(switch.events))
        assert switch.events == [Unknown(1, "link_lost")]
        nursery.cancel_scope.cancel()


async def test_a_network_that_stops_reading_is_left(pki: Path) -> None:
    """Once the kernel's buffers are full the send is bounded in time, the memory in frames."""

    async def deaf(stream: Any) -> None:
        await _accept_sign_on(stream)
        await trio.sleep_forever()

    async with _far_end(pki, deaf) as port, trio.open_nursery() as nursery:
        switch = Switch(
            pki,
            port,
            connections=1,
            window_per_connection=100_000,
            window_max=100_000,
            outbox_frames_max=100_000,
            send_timeout_s=0.2,
            response_deadline_s=30.0,
            max_send_age_s=30.0,
        )
        nursery.start_soon(switch.group.run)
        await switch.group.wait_up()
        sent = 0
        # Until the kernel takes no more: what it took is unknown, the rest was not sent.
        while not switch.events and sent < 100_000:
            for _ in range(500):
                if switch.group.up_count:
                    sent += 1
                    switch.send(sent)
            await trio.sleep(0.005)
        await switch.until(lambda: len(switch.events) == sent)
        unknown = [event.token for event in switch.events if isinstance(event, Unknown)]
        not_sent = [event.token for event in switch.events if isinstance(event, NotSent)]
        assert unknown
        assert not_sent
        assert sorted(unknown + not_sent) == list(range(1, sent + 1))
        assert max(unknown) < min(not_sent)
        assert switch.group.in_flight == 0
        nursery.cancel_scope.cancel()


async def test_a_tls_host_that_never_finishes_its_handshake_is_left(pki: Path) -> None:
    """Connecting is bounded in time as a whole."""

    async def say_nothing(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, say_nothing, listeners)
        port = listeners[0].socket.getsockname()[1]
        switch = Switch(pki, port, connections=1, connect_timeout_s=0.05)
        nursery.start_soon(switch.group.run)
        await switch.until(lambda: switch.group.counters.lost_total >= 2)
        assert switch.group.links[0].session.state in (State.DOWN, State.TCP, State.TLS)
        nursery.cancel_scope.cancel()
