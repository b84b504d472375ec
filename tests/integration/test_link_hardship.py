"""Hosts that vanish and hosts that ask while everything else is busy, over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from chassis.framing import LengthFramer
from chassis.tls import accept_tls, server_context
from chassis.tls_stream import TLSStream
from switch.iso8583.mti import NETWORK_MANAGEMENT_REQUEST
from switch.link.events import Answered, Unknown
from tests.support.acquiring import NET87B, Acquiring
from tests.support.network_host import CLIENT, make_pki, run_network


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of the network and of its acquirer."""
    directory = tmp_path_factory.mktemp("pki")
    make_pki(directory)
    return directory


class PathToHost:
    """A path to a host that can turn into a black hole: nothing is refused, nothing arrives."""

    def __init__(self) -> None:
        self.address = ""
        self.black_hole = False

    async def carry(
        self, port: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Carry connections to a local port until canceled."""

        async def relay(near: trio.SocketStream) -> None:
            far = await trio.open_tcp_stream("127.0.0.1", port)
            async with near, far, trio.open_nursery() as both:
                both.start_soon(self._pump, near, far)
                both.start_soon(self._pump, far, near)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.address = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(relay, listeners)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                if self.black_hole:
                    await trio.sleep_forever()
                await sink.send_all(data)
            await sink.send_eof()


async def test_a_host_behind_a_black_hole_is_left_for_another(pki: Path, tmp_path: Path) -> None:
    """Three echoes find it out (FR08): what was in flight is unknown, and the next host serves."""
    idle_s, timeout_s = 0.2, 0.1
    path = PathToHost()
    async with run_network(tmp_path, pki, NET87B) as network, trio.open_nursery() as nursery:
        await nursery.start(path.carry, network.port)
        switch = Acquiring(
            pki,
            [path.address, f"127.0.0.1:{network.port}"],
            connections=1,
            echo_idle_s=idle_s,
            echo_timeout_s=timeout_s,
            response_deadline_s=30.0,
        )
        nursery.start_soon(switch.group.run)
        await switch.group.wait_up()
        switch.send()
        await switch.until(lambda: switch.kinds == {Answered})
        path.black_hole = True
        began_at = trio.current_time()
        switch.send()
        await switch.until(lambda: len(switch.events) == 2)
        took_s = trio.current_time() - began_at
        assert switch.events[1] == Unknown(2, "link_lost")
        assert 3 * timeout_s <= took_s <= 3 * (idle_s + timeout_s) + 0.5
        with trio.fail_after(5):
            await switch.group.wait_up()
        switch.send()
        await switch.until(lambda: len(switch.events) == 3)
        assert isinstance(switch.events[2], Answered)
        nursery.cancel_scope.cancel()


async def test_links_spread_over_hosts_and_gather_on_the_one_that_is_left(
    pki: Path, tmp_path: Path
) -> None:
    """One host of two goes for good (HA01): only what was in flight on it is unknown."""
    other_dir = tmp_path / "other"
    other_dir.mkdir()
    async with run_network(tmp_path, pki, NET87B) as left, trio.open_nursery() as nursery:
        async with run_network(other_dir, pki, NET87B) as gone:
            addresses = [f"127.0.0.1:{gone.port}", f"127.0.0.1:{left.port}"]
            switch = Acquiring(pki, addresses, response_deadline_s=5.0)
            nursery.start_soon(switch.group.run)
            await switch.group.wait_up(2)
            assert gone.host.connections.open_count == left.host.connections.open_count == 1

            async def hold() -> None:
                await trio.sleep(0.2)

            await switch.load(100, hold)
            assert switch.kinds == {Answered}
        await switch.until(lambda: left.host.connections.open_count == 2)
        await switch.group.wait_up(2)
        before = len(switch.events)
        await switch.load(100, hold)
        assert {type(event) for event in switch.events[before:]} == {Answered}
        assert switch.refused == 0
        nursery.cancel_scope.cancel()


class BusyHost:
    """A network that answers every sale, and asks for echoes all the while.

    Attributes:
        waits_s: how long each echo's answer took.
        answered: sales answered.
    """

    def __init__(self, stream: TLSStream) -> None:
        self._stream = stream
        self._framer = LengthFramer(2, 4_096)
        self._asked_at: dict[str, float] = {}
        self.waits_s: list[float] = []
        self.answered = 0

    async def converse(self) -> None:
        """Answer everything that comes, in the pieces in which it comes."""
        while data := await self._stream.receive_some():
            answers = []
            for frame in self._framer.feed(bytes(data)):
                fields = NET87B.decode(frame)
                if fields[0] == "0810":
                    self.waits_s.append(trio.current_time() - self._asked_at.pop(fields[11]))
                    assert (fields[39], fields[70]) == ("00", "301")
                    continue
                self.answered += fields[0] == "0200"
                echo = {
                    de: fields[de] for de in (3, 4, 7, 11, 32, 37, 41, 42, 49, 70) if de in fields
                }
                answers.append(echo | {0: f"{fields[0][:2]}10", 39: "00"})
            if answers:
                await self._send(*answers)

    async def ask(self) -> None:
        """Send one 0800/301."""
        stan = f"{len(self.waits_s) + len(self._asked_at) + 1:06d}"
        self._asked_at[stan] = trio.current_time()
        await self._send({0: NETWORK_MANAGEMENT_REQUEST, 7: "1122071000", 11: stan, 70: "301"})

    async def _send(self, *messages: dict[int, str]) -> None:
        chunk = self._framer.wrap_many([NET87B.encode(fields) for fields in messages])
        await self._stream.send_all(chunk)


@asynccontextmanager
async def _busy_host(pki: Path) -> AsyncIterator[tuple[str, list[BusyHost]]]:
    context = server_context(ca=pki / "ca.pem", certificate=pki / "vsim.pem", key=pki / "vsim.key")
    hosts: list[BusyHost] = []

    async def handle(transport: trio.SocketStream) -> None:
        stream = await accept_tls(transport, context, client_names={CLIENT})
        hosts.append(BusyHost(stream))
        with contextlib.suppress(trio.BrokenResourceError):
            await hosts[-1].converse()
        await trio.aclose_forcefully(stream)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield f"127.0.0.1:{listeners[0].socket.getsockname()[1]}", hosts
        nursery.cancel_scope.cancel()


async def test_the_peers_echo_is_answered_within_a_second_at_full_load(pki: Path) -> None:
    """A whole window in flight all the time, and 0810 goes ahead of everything queued (NM06)."""
    async with _busy_host(pki) as (address, hosts), trio.open_nursery() as nursery:
        switch = Acquiring(pki, [address], connections=1, response_deadline_s=5.0)
        nursery.start_soon(switch.group.run)
        await switch.group.wait_up()
        (host,) = hosts

        async def ask() -> None:
            for _ in range(20):
                await trio.sleep(0.03)
                await host.ask()

        await switch.load(1_000, ask)
        await switch.until(lambda: len(host.waits_s) == 20)
        assert max(host.waits_s) < 1.0
        assert switch.kinds == {Answered}
        assert host.answered == len(switch.events) > 1_000
        nursery.cancel_scope.cancel()
