"""TL: whom the switch talks to, and whom it does not."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import trio

from certification import profile
from certification.bench import NETWORK_STEM, make_pki
from certification.desk import Desk
from certification.network import Certificates
from certification.registry import case
from chassis.pki import development_pki
from chassis.tls import ALPN, Role, client_context, connect_tls
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
    await desk.recovers()


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
    desk.network.go_away()
    del desk.network.trace[:]
    await _refuses(desk, _picky(desk), "link_down")


def _picky(desk: Desk) -> ssl.SSLContext:
    """A network that was set up to trust another CA than ours: it gets no certificate it takes."""
    ours = desk.network.certificates
    return _unproven(ours.certificate, ours.key, _other_pki(desk) / "ca.pem")


def _unproven(certificate: Path, key: Path, trusted: Path) -> ssl.SSLContext:
    """A server's context as somebody sets it up who does not check what is in the files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols([ALPN])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(trusted)
    return context


async def _expired(folder: Path, stem: str, name: str, role: Role) -> None:
    """A certificate of our CA that ended a month ago."""
    long_ago = datetime.now(UTC) - timedelta(days=60)
    names: dict[str, tuple[str, Role]] = {stem: (name, role)}
    await trio.to_thread.run_sync(partial(development_pki, folder, names, now=long_ago))


@case("TL03", up=False)
async def client_certificate_expired(desk: Desk) -> None:
    """A client, a network, and a replacement of our own whose time is over."""
    folder = desk.network.certificates.ca.parent
    desk.network.accepting.set()
    await desk.network.signed_on()
    await _expired(folder, "late-client", profile.CLIENT_NAME, "client")
    client = ssl.create_default_context(cafile=folder / "ca.pem")
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    client.set_alpn_protocols([ALPN])
    client.load_cert_chain(folder / "late-client.pem", folder / "late-client.key")
    told = await _call(desk, client)
    desk.check(that="expired" in told, what=f"an expired client hears: {told}")
    await _expired(folder, "late-switch", profile.CLIENT_NAME, "client")
    await _replace(desk, folder, "late-switch")
    await desk.logged("expired", f'"{desk.network.name}"')
    desk.equal("the old one stays: a sale is", (await desk.pay()).status, "succeeded")
    await _replace(desk, folder, "switch")
    await _expired(folder, "late-network", profile.SERVER_NAME, "server")
    desk.network.go_away()
    del desk.network.trace[:]
    late = _unproven(folder / "late-network.pem", folder / "late-network.key", folder / "ca.pem")
    await _refuses(desk, late, "expired")


async def _replace(desk: Desk, folder: Path, stem: str) -> None:
    """Give the switch another certificate for this network, as an operator would."""
    await trio.to_thread.run_sync(_install, folder, stem, f"switch-{desk.network.name}")


def _install(folder: Path, stem: str, as_stem: str) -> None:
    owner = (folder / "switch.key").stat()
    for suffix in ("key", "pem"):
        target, fresh = folder / f"{as_stem}.{suffix}", folder / f"{as_stem}.{suffix}.new"
        fresh.write_bytes((folder / f"{stem}.{suffix}").read_bytes())
        fresh.chmod((folder / f"switch.{suffix}").stat().st_mode)
        os.chown(fresh, owner.st_uid, owner.st_gid)
        fresh.rename(target)


@case("TL07", connections=2)
async def certificate_rotation(desk: Desk) -> None:
    """A new certificate while payments run: new connections bear it, and nothing fails."""
    folder = desk.network.certificates.ca.parent
    names: dict[str, tuple[str, Role]] = {"next-switch": (profile.CLIENT_NAME, "client")}
    await trio.to_thread.run_sync(development_pki, folder, names)
    old = {each.stream.tls.getpeercert(binary_form=True) for each in desk.network.connections}
    ran = trio.Event()
    statuses: list[str] = []

    async def load() -> None:
        while not ran.is_set():
            statuses.extend(answer.status for answer in await desk.many(5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(load)
        await _replace(desk, folder, "next-switch")

        async def renewed() -> bool:
            now = [
                each.stream.tls.getpeercert(binary_form=True) for each in desk.network.connections
            ]
            return len(now) == len(old) + 1 and not old.intersection(now)

        await desk.until("both connections bear the new certificate", renewed)
        ran.set()
    desk.equal(f"{len(statuses)} payments meanwhile", set(statuses), {"succeeded"})


@case("TL08", up=False, settings={"pinned_keys": ("00" * 32,)})
async def pinned_key(desk: Desk) -> None:
    """The CA and the name are right, and the key is not the one that was agreed."""
    desk.network.accepting.set()
    await desk.logged("link_down", f'"{desk.network.name}"', "pinned")
    desk.equal("application messages", len(desk.network.heard()), 0)
    await desk.refused(desk.pay(), "network_unavailable")
    await desk.logged("link_alarm", f'"{desk.network.name}"')


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
