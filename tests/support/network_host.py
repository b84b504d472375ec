"""A simulated network on a real socket, and acquirers that come to it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec
import trio

from chassis.pki import development_pki
from chassis.settings.tree import Network, Simulator
from chassis.tls import client_context, connect_tls, server_context
from network_sim.codec import choose_codec
from network_sim.host import Host
from network_sim.journal import Journal
from network_sim.service import journal_path, make_issuer
from switch.iso8583 import Dialect
from tests.support.network import Acquirer

SERVER, CLIENT, STRANGER = "vsim.turnout.test", "acquirer.turnout.test", "stranger.turnout.test"
NETWORK = Network(server_name=SERVER, client_name=CLIENT, bins=("4",), response_deadline_s=0.1)
OPENS_ON = date(2026, 11, 22)
LIMITS = Simulator(late_margin_s=0.05)


def make_pki(directory: Path) -> None:
    """Certificates of the network, of its acquirer, and of a client it does not know."""
    names: dict[str, tuple[str, Literal["client", "server"]]] = {
        "vsim": (SERVER, "server"),
        "switch": (CLIENT, "client"),
        "stranger": (STRANGER, "client"),
    }
    development_pki(directory, names)


@attrs.frozen
class RunningNetwork:
    """A network that accepts connections."""

    host: Host
    port: int
    journal: Path
    stop: trio.Event
    pki: Path
    dialect: Dialect
    clients: list[trio.abc.AsyncResource] = attrs.field(factory=list)  # closed at the end

    async def connect(self) -> trio.SocketStream:
        """A TCP connection and nothing more."""
        transport = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.clients.append(transport)
        return transport

    async def dial(self, certificate: str = "switch") -> Acquirer:
        """Connect and shake hands; nothing is said yet."""
        context = client_context(
            ca=self.pki / "ca.pem",
            certificate=self.pki / f"{certificate}.pem",
            key=self.pki / f"{certificate}.key",
        )
        stream = await connect_tls("127.0.0.1", self.port, context, server_name=SERVER)
        self.clients.append(stream)
        return Acquirer(stream, self.dialect)

    async def sign_on(self) -> Acquirer:
        """Connect, shake hands and open the session."""
        acquirer = await self.dial()
        await acquirer.sign_on()
        return acquirer


@asynccontextmanager
async def run_network(
    data_dir: Path,
    pki: Path,
    dialect: Dialect,
    *,
    codec: Literal["compiled", "pyiso8583"] = "compiled",
    **limits: Any,
) -> AsyncIterator[RunningNetwork]:
    """Run a network; the next one on the same data directory remembers it."""
    network = msgspec.structs.replace(NETWORK, codec=codec)
    simulator = msgspec.structs.replace(LIMITS, **limits)
    issuer = make_issuer(network, simulator, dialect, opens_on=OPENS_ON)
    path = journal_path(data_dir, "vsim")
    path.parent.mkdir(exist_ok=True)
    journal = Journal(path)
    issuer.restore(journal.entries())
    host = Host(
        network=network,
        limits=simulator,
        tls=server_context(ca=pki / "ca.pem", certificate=pki / "vsim.pem", key=pki / "vsim.key"),
        codec=choose_codec(network, dialect),
        dialect=dialect,
        issuer=issuer,
        journal=journal,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    stop = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.serve, listener, stop)
            running = RunningNetwork(host, port, path, stop, pki, dialect)
            try:
                yield running
            finally:
                for client in running.clients:
                    await trio.aclose_forcefully(client)
                stop.set()
    finally:
        journal.close()
