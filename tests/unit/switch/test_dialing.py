"""Hosts in turn, and settings that cannot be dialed."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest
import trio

from chassis.pki import development_pki
from chassis.settings import Network
from chassis.tls import PinnedKeyError, accept_tls, key_pin, server_context
from switch.credentials import Credentials
from switch.dialing import Dialer, DialingError, parse_address

SERVER, CLIENT = "vsim.turnout.test", "acquirer.turnout.test"
SETTINGS = Network(server_name=SERVER)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's certificate and ours."""
    folder = tmp_path_factory.mktemp("pki")
    development_pki(folder, {"vsim": (SERVER, "server"), "switch-vsim": (CLIENT, "client")})
    return folder


@pytest.fixture
def credentials(pki: Path) -> Credentials:
    """Ours at the network."""
    return Credentials(pki, "vsim")


class Hosts:
    """Some hosts of one network, counting who came."""

    def __init__(self, pki: Path) -> None:
        self._context = server_context(
            ca=pki / "ca.pem", certificate=pki / "vsim.pem", key=pki / "vsim.key"
        )
        self.visits: list[int] = []

    async def listen(self, number: int, nursery: trio.Nursery) -> str:
        """Open one more host; its address."""

        async def handle(transport: trio.SocketStream) -> None:
            try:
                stream = await accept_tls(transport, self._context, client_names={CLIENT})
            except trio.BrokenResourceError:
                return
            self.visits.append(number)
            await trio.aclose_forcefully(stream)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        return f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"


async def test_hosts_take_their_turns(
    pki: Path, credentials: Credentials, nursery: trio.Nursery
) -> None:
    """Two links begin at different hosts, and a failed one goes on to the next."""
    hosts = Hosts(pki)
    addresses = [await hosts.listen(number, nursery) for number in range(3)]
    dialer = Dialer("vsim", SETTINGS, addresses, credentials)
    reached: list[int] = []
    for turn in (0, 1, 2, 3, 7):
        stream = await dialer.connect(turn, lambda: reached.append(1))
        await trio.aclose_forcefully(stream)
    with trio.fail_after(5):
        while len(hosts.visits) < 5:
            await trio.sleep(0.001)
    assert hosts.visits == [0, 1, 2, 0, 1]
    assert len(reached) == 5


async def test_a_key_that_is_not_pinned_is_no_network(
    pki: Path, credentials: Credentials, nursery: trio.Nursery
) -> None:
    """The CA vouches for it, and still nothing is said to it."""
    hosts = Hosts(pki)
    address = await hosts.listen(0, nursery)
    theirs = key_pin(ssl.PEM_cert_to_DER_cert((pki / "vsim.pem").read_text()))
    for pins, welcome in (((theirs,), True), (("0" * 64,), False), (("0" * 64, theirs), True)):
        settings = Network(server_name=SERVER, pinned_keys=pins)
        dialer = Dialer("vsim", settings, [address], credentials)
        if welcome:
            await trio.aclose_forcefully(await dialer.connect(0, lambda: None))
        else:
            with pytest.raises(PinnedKeyError):
                await dialer.connect(0, lambda: None)


async def test_new_files_are_used_by_the_next_connection(
    pki: Path, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """A dialer asks its credentials anew each time."""
    shutil.copytree(pki, tmp_path, dirs_exist_ok=True)
    credentials = Credentials(tmp_path, "vsim")
    hosts = Hosts(pki)
    dialer = Dialer("vsim", SETTINGS, [await hosts.listen(0, nursery)], credentials)
    await trio.aclose_forcefully(await dialer.connect(0, lambda: None))
    shutil.rmtree(tmp_path)
    development_pki(tmp_path, {"switch-vsim": (CLIENT, "client")})
    credentials.refresh()
    with pytest.raises(trio.BrokenResourceError):  # another CA now: the host is a stranger
        await dialer.connect(0, lambda: None)


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("127.0.0.1:8583", ("127.0.0.1", 8583)),
        ("host.network.test:1", ("host.network.test", 1)),
        ("[::1]:65535", ("::1", 65_535)),
    ],
)
def test_addresses(address: str, parsed: tuple[str, int]) -> None:
    """A name or an address, and a port."""
    assert parse_address(address) == parsed


@pytest.mark.parametrize("address", ["", "host", ":8583", "host:", "host:0", "host:65536", "h:8x"])
def test_what_is_no_address_is_refused_at_the_start(address: str, credentials: Credentials) -> None:
    """The setting is named."""
    with pytest.raises(DialingError, match=r"networks\.vsim\.hosts: .* is not host:port"):
        Dialer("vsim", SETTINGS, ["127.0.0.1:1", address], credentials)


def test_a_pin_that_is_none_is_refused_at_the_start(credentials: Credentials) -> None:
    """A misspelled one would keep every link down."""
    settings = Network(pinned_keys=("sha256:abc",))
    with pytest.raises(DialingError, match=r"networks\.vsim\.pinned_keys: .*64 hex digits"):
        Dialer("vsim", settings, ["127.0.0.1:1"], credentials)
