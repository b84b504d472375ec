"""TL: whom the switch talks to, and whom it does not."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import trio

from certification import profile
from certification.bench import NETWORK_STEM, make_pki
from certification.desk import Desk
from certification.network import Certificates
from certification.registry import case
from chassis.pki import development_pki
from chassis.tls import ALPN, client_context, connect_tls
from chassis.tls_faults import explain

BACK_OFF_TRIES_MAX = 12  # handshakes in the time that a case watches; without back-off: hundreds
WATCHED_S = 3.0


def _other_pki(desk: Desk) -> Path:
    """Certificates with the right names from a CA of nobody's."""
    return make_pki(desk.stack.data_dir.parent / f"pki-{desk.case_id.lower()}")


async def _refuses(desk: Desk, context: ssl.SSLContext, reason: str) -> None:
    """The switch stays away from a network, says nothing to it, backs off, and comes back."""
    network = desk.network
    network.tls = context
    network.accepting.set()
    await network.event("handshake refused", count=2)
    await trio.sleep(WATCHED_S * desk.factor)
    refused = [line.note for line in network.trace if "handshake refused" in line.note]
    desk.check(that=len(refused) <= BACK_OFF_TRIES_MAX, what=f"{len(refused)} tries: it backs off")
    desk.equal("application messages before the refusal", len(network.heard()), 0)
    await desk.refused(desk.pay(), "network_unavailable")
    await desk.logged("link_down", f'"{network.name}"', reason)
    network.tls = network.certificates.context()
    await network.signed_on()
    desk.saw("with the right certificate the session comes up")
    desk.equal("a sale is then", (await desk.pay()).status, "succeeded")


async def _call(desk: Desk, context: ssl.SSLContext) -> str:
    """Call at the network as a client; how that ends, in words."""
    before = len(desk.network.heard())
    try:
        with trio.fail_after(5):
            stream = await connect_tls(
                "127.0.0.1",
                desk.network.settings.port,
                context,
                server_name=profile.SERVER_NAME,
            )
            data = await stream.receive_some()  # TLS 1.3 tells a client by its first read
    except (OSError, trio.BrokenResourceError) as error:
        desk.equal("messages taken from that client", len(desk.network.heard()) - before, 0)
        return explain(error).reason
    return f"connected, and received {len(data)} bytes"


@case("TL01")
async def mutual_tls(desk: Desk) -> None:
    """Both certificates are good."""
    (connection,) = desk.network.connections
    desk.equal("protocol", connection.stream.tls.version(), "TLSv1.3")
    certificate: Any = connection.stream.tls.getpeercert()
    names = [value for kind, value in certificate["subjectAltName"] if kind == "DNS"]
    desk.equal("the client's name", names, [profile.CLIENT_NAME])
    desk.equal("a sale", (await desk.pay()).status, "succeeded")


@case("TL02", up=False)
async def client_certificate_missing(desk: Desk) -> None:
    """A client that shows none, and a network that does not take ours."""
    bare = ssl.create_default_context(cafile=desk.network.certificates.ca)
    bare.minimum_version = ssl.TLSVersion.TLSv1_3
    desk.network.accepting.set()
    await desk.network.signed_on()
    told = await _call(desk, bare)
    desk.check(that=not told.startswith("connected"), what=f"a bare client hears: {told}")
    desk.network.accepting = trio.Event()
    for connection in list(desk.network.connections):
        connection.close()
    del desk.network.trace[:]
    await _refuses(desk, _picky(desk), "link_down")


def _picky(desk: Desk) -> ssl.SSLContext:
    """A network that was set up to trust another CA than ours: it gets no certificate it takes."""
    ours = desk.network.certificates
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(ours.certificate, ours.key)
    context.set_alpn_protocols([ALPN])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(_other_pki(desk) / "ca.pem")
    return context


@case("TL04", up=False)
async def wrong_authority(desk: Desk) -> None:
    """The names are right and the CA is not, in either direction."""
    other = _other_pki(desk)
    stranger = Certificates(
        other / "ca.pem", other / f"{NETWORK_STEM}.pem", other / f"{NETWORK_STEM}.key"
    )
    await _refuses(desk, stranger.context(), "ertificate")
    ca = desk.network.certificates.ca
    client = client_context(
        ca=other / "ca.pem", certificate=other / "switch.pem", key=other / "switch.key"
    )
    client.load_verify_locations(ca)
    told = await _call(desk, client)
    desk.check(that=not told.startswith("connected"), what=f"a stranger hears: {told}")


@case("TL05", up=False)
async def server_name(desk: Desk) -> None:
    """The CA is right and the name is another's."""
    folder = desk.network.certificates.ca.parent
    await trio.to_thread.run_sync(
        development_pki, folder, {"other": ("other.turnout.test", "server")}
    )
    other = Certificates(folder / "ca.pem", folder / "other.pem", folder / "other.key")
    await _refuses(desk, other.context(), "ertificate")


@case("TL06", up=False)
async def weak_protocol(desk: Desk) -> None:
    """The network can do no better than TLS 1.2."""
    ours = desk.network.certificates
    weak = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.load_cert_chain(ours.certificate, ours.key)
    await _refuses(desk, weak, "TLS")
