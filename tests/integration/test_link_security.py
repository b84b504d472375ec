"""Who is talked to and who is not, over real sockets; certificates replaced under load."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from chassis.pki import development_pki
from chassis.tls import ALPN, key_pin, server_context
from chassis.tls_stream import TLSStream
from switch.link.events import Answered
from tests.support.acquiring import NET87B, Acquiring
from tests.support.network_host import CLIENT, SERVER, make_pki, run_network


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of the network and of its acquirer."""
    directory = tmp_path_factory.mktemp("pki")
    make_pki(directory)
    return directory


@pytest.fixture
def pki(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "pki"))


async def test_certificates_are_replaced_under_load(pki: Path, tmp_path: Path) -> None:
    """New connections show the new one, old ones drain behind them, no sale is lost (TL07)."""
    async with run_network(tmp_path, pki, NET87B) as network, trio.open_nursery() as nursery:
        switch = Acquiring(pki, [f"127.0.0.1:{network.port}"], response_deadline_s=5.0)
        nursery.start_soon(switch.group.run)
        await switch.group.wait_up(2)

        async def replace_twice() -> None:
            for oldest in (2, 4):
                await trio.sleep(0.2)
                (pki / "switch.pem").unlink()
                development_pki(pki, {"switch": (CLIENT, "client")})
                assert switch.credentials.refresh()
                switch.group.renew()
                await switch.until(
                    lambda oldest=oldest: (
                        [link.index for link in switch.group.links]  # type: ignore[misc]
                        == [oldest, oldest + 1]
                    )
                )
            await trio.sleep(0.2)

        await switch.load(200, replace_twice)
        assert len(switch.events) > 400
        assert switch.kinds == {Answered}
        assert switch.refused == 0
        assert network.host.connections.accepted_total == 6
        assert switch.group.counters.alarms_total == 0
        with trio.fail_after(5):
            await switch.group.drain()


async def test_a_certificate_that_the_network_refuses_changes_nothing(
    pki: Path, tmp_path: Path
) -> None:
    """Its name is another: links stay on the old one, payments go on, and somebody is told."""
    async with run_network(tmp_path, pki, NET87B) as network, trio.open_nursery() as nursery:
        switch = Acquiring(pki, [f"127.0.0.1:{network.port}"], connect_timeout_s=0.2)
        nursery.start_soon(switch.group.run)
        await switch.group.wait_up(2)
        development_pki(pki, {"switch": ("stranger.turnout.test", "client")})
        assert switch.credentials.refresh()

        async def renew() -> None:
            switch.group.renew()
            await switch.until(
                lambda: "links_not_renewed" in [line["event"] for line in lines], within_s=5
            )

        with capture_logs() as lines:
            await switch.load(50, renew)
        assert switch.kinds == {Answered}
        assert switch.refused == 0
        # Another try may be under way, and comes to nothing too.
        await switch.until(lambda: [link.index for link in switch.group.links] == [0, 1])
        assert switch.group.up_count == 2
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _host(context: ssl.SSLContext | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A host that takes anybody, or speaks in the clear; its address, and what it was told."""
    heard: list[bytes] = []

    async def handle(transport: trio.SocketStream) -> None:
        stream: trio.abc.Stream = transport
        try:
            if context is not None:
                stream = secured = TLSStream(transport, context, server_side=True)
                await secured.do_handshake()
            data = bytes(await stream.receive_some())
            # What a plain host hears first is our greeting, which is no application data.
            if data and not (context is None and data.startswith(b"\x16\x03")):
                heard.append(data)
            if context is None:
                await stream.send_all(b"\x00\x1d plain as day")
        except trio.BrokenResourceError:
            return
        finally:
            await trio.aclose_forcefully(stream)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield f"127.0.0.1:{listeners[0].socket.getsockname()[1]}", heard
        nursery.cancel_scope.cancel()


def _lax(pki: Path, *, tls_max: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A host's context that asks nobody for anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "vsim.pem", pki / "vsim.key")
    context.set_alpn_protocols([ALPN])
    if tls_max is not None:
        context.maximum_version = tls_max
    return context


def _other_ca(folder: Path, _pki: Path) -> ssl.SSLContext:
    development_pki(folder, {"vsim": (SERVER, "server")})
    return _lax(folder)


def _expired(folder: Path, pki: Path) -> ssl.SSLContext:
    _copy_ca(pki, folder)
    then = datetime.now(UTC) - timedelta(days=100)
    development_pki(folder, {"vsim": (SERVER, "server")}, now=then)
    return _lax(folder)


def _other_name(folder: Path, pki: Path) -> ssl.SSLContext:
    _copy_ca(pki, folder)
    development_pki(folder, {"vsim": ("other.turnout.test", "server")})
    return _lax(folder)


def _old(_folder: Path, pki: Path) -> ssl.SSLContext:
    return _lax(pki, tls_max=ssl.TLSVersion.TLSv1_2)


def _plain(_folder: Path, _pki: Path) -> None:
    return None


def _copy_ca(pki: Path, folder: Path) -> None:
    for name in ("ca.pem", "ca.key"):
        shutil.copy(pki / name, folder / name)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(
            _other_ca, "certificate is refused: unable to get local issuer", id="another CA (TL04)"
        ),
        pytest.param(_expired, "certificate is refused: certificate has expired", id="expired"),
        pytest.param(_other_name, f"not valid for '{SERVER}'", id="another name (TL05)"),
        pytest.param(_old, "speaks no TLS 1.3", id="TLS 1.2 (TL06)"),
        pytest.param(_plain, "does not speak TLS", id="in the clear"),
    ],
)
async def test_a_host_that_is_not_the_network_hears_nothing(
    make: object, reason: str, pki: Path, tmp_path: Path
) -> None:
    """The link stays down, dials again, and raises one alarm that says why; nothing falls back."""
    folder = tmp_path / "host"
    folder.mkdir()
    context = make(folder, pki)  # type: ignore[operator]
    with capture_logs() as lines:
        async with _host(context) as (address, heard), trio.open_nursery() as nursery:
            switch = Acquiring(pki, [address], connections=1)
            nursery.start_soon(switch.group.run)
            await switch.until(lambda: switch.group.counters.lost_total >= 4)
            counters = switch.group.counters
            assert (counters.connections_total, counters.alarms_total) == (0, 1)
            assert counters.peers_refused_total >= 4
            assert heard == []
            nursery.cancel_scope.cancel()
    assert switch.group.reserve() is None
    (alarm,) = [line for line in lines if line["event"] == "link_alarm"]
    assert reason in alarm["reason"]
    assert reason in next(line for line in lines if line["event"] == "link_down")["reason"]


async def test_a_host_with_another_key_is_a_stranger(pki: Path) -> None:
    """Its certificate is good and its name is right; the pinned key is another (TL08)."""
    theirs = key_pin(ssl.PEM_cert_to_DER_cert((pki / "vsim.pem").read_text()))
    context = server_context(ca=pki / "ca.pem", certificate=pki / "vsim.pem", key=pki / "vsim.key")
    with capture_logs() as lines:
        async with _host(context) as (address, heard), trio.open_nursery() as nursery:
            switch = Acquiring(pki, [address], connections=1, pinned_keys=("ab" * 32,))
            nursery.start_soon(switch.group.run)
            await switch.until(lambda: switch.group.counters.lost_total >= 2)
            assert heard == []
            assert switch.group.counters.connections_total == 0
            known = Acquiring(pki, [address], connections=1, pinned_keys=("ab" * 32, theirs))
            nursery.start_soon(known.group.run)
            await known.until(lambda: len(heard) == 1)
            nursery.cancel_scope.cancel()
    (alarm,) = [line for line in lines if line["event"] == "link_alarm"]
    assert alarm["reason"] == "the peer's key is none of the pinned ones"


@pytest.mark.parametrize("certificate", ["none", "expired", "another CA"])
async def test_what_the_network_has_against_us_is_said(
    certificate: str, pki: Path, tmp_path: Path
) -> None:
    """It refuses the handshake; we hear of it by our first read, stay down and raise the alarm."""
    async with run_network(tmp_path, pki, NET87B) as network, trio.open_nursery() as nursery:
        switch = Acquiring(pki, [f"127.0.0.1:{network.port}"], connections=1)
        switch.credentials.context = _bad_client(certificate, pki, tmp_path)
        with capture_logs() as lines:
            nursery.start_soon(switch.group.run)
            await switch.until(lambda: switch.group.counters.refused_by_peer_total >= 1)
            await switch.until(lambda: network.host.connections.refused_total >= 3)
        assert switch.group.counters.sign_ons_total == 0
        assert network.host.frames.frames_total == 0
        reasons = {line["reason"] for line in lines if line["event"] == "link_alarm"}
        assert {
            "none": "the peer got no certificate of ours",
            "expired": "the peer says that our certificate has expired",
            "another CA": "the peer does not know the CA of our certificate",
        }[certificate] in reasons
        nursery.cancel_scope.cancel()


def _bad_client(certificate: str, pki: Path, tmp_path: Path) -> ssl.SSLContext:
    """A client's context that our own door would not let through."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki / "ca.pem")
    context.set_alpn_protocols([ALPN])
    if certificate == "none":
        return context
    folder = tmp_path / "client"
    folder.mkdir()
    then = datetime.now(UTC)
    if certificate == "expired":
        _copy_ca(pki, folder)
        then -= timedelta(days=100)
    development_pki(folder, {"switch": (CLIENT, "client")}, now=then)
    context.load_cert_chain(folder / "switch.pem", folder / "switch.key")
    return context
