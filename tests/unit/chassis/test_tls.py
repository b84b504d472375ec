from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from cryptography.hazmat.primitives import serialization

from chassis.pki import development_pki
from chassis.tls import (
    ALPN,
    PeerNameError,
    PinnedKeyError,
    TLSFilesError,
    TLSPeerError,
    accept_tls,
    check_peer_name,
    check_pins,
    client_context,
    connect_tls,
    key_pin,
    server_context,
)

SERVER_NAME = "vsim.turnout.test"
CLIENT_NAME = "acquirer.turnout.test"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development PKI that is valid now."""
    folder = tmp_path_factory.mktemp("pki")
    development_pki(folder, {"server": (SERVER_NAME, "server"), "client": (CLIENT_NAME, "client")})
    return folder


def _files(folder: Path, stem: str) -> dict[str, Path]:
    return {
        "ca": folder / "ca.pem",
        "certificate": folder / f"{stem}.pem",
        "key": folder / f"{stem}.key",
    }


def _contexts(pki: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return client_context(**_files(pki, "client")), server_context(**_files(pki, "server"))


class Meeting:
    """What happened at both ends of one connection attempt."""

    def __init__(self) -> None:
        self.client: Any = None
        self.server: Any = None
        self.pins: set[str] = set()
        self.reached = 0  # times that TCP stood at the client

    async def hold(
        self, client: ssl.SSLContext, server: ssl.SSLContext, *, server_name: str = SERVER_NAME
    ) -> None:
        """Connect over the loopback, exchange one byte each way, note the outcome of each end."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        with trio.fail_after(5):
            async with listener, trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, listener, server)
                self.client = await self._connect(port, client, server_name)

    async def _connect(self, port: int, context: ssl.SSLContext, server_name: str) -> object:
        try:
            stream = await connect_tls(
                "127.0.0.1",
                port,
                context,
                server_name=server_name,
                pins=self.pins,
                reached=self._reach,
            )
        except (OSError, trio.BrokenResourceError) as error:
            return error.__cause__ or error
        try:
            await stream.send_all(b"?")
            return bytes(await stream.receive_some(1))
        except trio.BrokenResourceError as error:
            return error.__cause__
        finally:
            await trio.aclose_forcefully(stream)

    def _reach(self) -> None:
        self.reached += 1

    async def _serve(self, listener: trio.SocketListener, context: ssl.SSLContext) -> None:
        try:
            stream = await accept_tls(await listener.accept(), context, client_names={CLIENT_NAME})
            try:
                self.server = bytes(await stream.receive_some(1))
                await stream.send_all(b"!")
            finally:
                await trio.aclose_forcefully(stream)
        except (OSError, trio.BrokenResourceError) as error:
            self.server = error.__cause__ or error


@pytest.fixture
def meeting() -> Meeting:
    """A meeting yet to be held."""
    return Meeting()


async def test_both_ends_of_the_development_pki_meet(pki: Path, meeting: Meeting) -> None:
    """Each end accepts the other and bytes flow both ways."""
    await meeting.hold(*_contexts(pki))
    assert (meeting.client, meeting.server) == (b"!", b"?")
    assert meeting.reached == 1


def test_contexts_are_as_strict_as_agreed(pki: Path) -> None:
    """TLS 1.3 only, certificates both ways, strict checks, one CA, no tickets, no key log."""
    client, server = _contexts(pki)
    for context in (client, server):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.keylog_filename is None
        assert len(context.get_ca_certs()) == 1
    assert client.check_hostname
    assert server.num_tickets == 0


async def test_a_client_of_another_ca_is_refused(
    pki: Path, tmp_path: Path, meeting: Meeting
) -> None:
    """A stranger's certificate ends the handshake at the server; no byte of ours is read."""
    development_pki(tmp_path, {"client": (CLIENT_NAME, "client")})
    stranger = client_context(**_files(tmp_path, "client"))
    stranger.load_verify_locations(pki / "ca.pem")
    await meeting.hold(stranger, server_context(**_files(pki, "server")))
    assert isinstance(meeting.server, ssl.SSLCertVerificationError)
    assert isinstance(meeting.client, OSError)


async def test_a_server_of_another_ca_is_refused(
    pki: Path, tmp_path: Path, meeting: Meeting
) -> None:
    """The client aborts before any byte of ours leaves."""
    development_pki(tmp_path, {"server": (SERVER_NAME, "server")})
    await meeting.hold(
        client_context(**_files(pki, "client")), server_context(**_files(tmp_path, "server"))
    )
    assert isinstance(meeting.client, ssl.SSLCertVerificationError)


async def test_a_client_without_certificate_is_refused(pki: Path, meeting: Meeting) -> None:
    """Under TLS 1.3 the client learns of it by its first read, the server at its handshake."""
    naked = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    naked.set_alpn_protocols([ALPN])
    await meeting.hold(naked, server_context(**_files(pki, "server")))
    assert isinstance(meeting.server, ssl.SSLError)
    assert meeting.server.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert meeting.client != b"!"


async def test_a_wrong_server_name_is_refused(pki: Path, meeting: Meeting) -> None:
    """A good certificate of another host is not good enough."""
    await meeting.hold(*_contexts(pki), server_name="other.turnout.test")
    assert isinstance(meeting.client, ssl.SSLCertVerificationError)
    assert "other.turnout.test" in meeting.client.verify_message


async def test_a_client_of_another_name_is_refused(
    pki: Path, tmp_path: Path, meeting: Meeting
) -> None:
    """Our CA alone opens no door: the name must be on the server's list."""
    shutil.copytree(pki, tmp_path, dirs_exist_ok=True)
    development_pki(tmp_path, {"mallory": ("mallory.turnout.test", "client")})
    await meeting.hold(
        client_context(**_files(tmp_path, "mallory")), server_context(**_files(pki, "server"))
    )
    assert isinstance(meeting.server, PeerNameError)
    assert meeting.client != b"!"


async def test_an_older_version_is_refused(pki: Path, meeting: Meeting) -> None:
    """A peer that offers TLS 1.2 at most gets nowhere."""
    client, server = _contexts(pki)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(pki / "server.pem", pki / "server.key")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    await meeting.hold(client, old)
    assert isinstance(meeting.client, ssl.SSLError)
    client.minimum_version = ssl.TLSVersion.TLSv1_2
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    await meeting.hold(client, server)
    assert isinstance(meeting.server, ssl.SSLError)


async def test_another_protocol_is_refused(pki: Path, meeting: Meeting) -> None:
    """A service of our CA that speaks something else is not taken for a network."""
    client, server = _contexts(pki)
    server.set_alpn_protocols(["h2"])
    await meeting.hold(client, server)
    assert isinstance(meeting.client, TLSPeerError)
    assert ALPN in str(meeting.client)


@pytest.mark.parametrize(
    ("certificate", "allowed", "name"),
    [
        ({"subjectAltName": (("DNS", "A.test"), ("DNS", "b.test"))}, {"b.test"}, "b.test"),
        ({"subjectAltName": (("DNS", "A.test"),)}, {"a.test"}, "a.test"),
        ({"subjectAltName": (("URI", "spiffe://x/Y"),)}, {"spiffe://x/Y"}, "spiffe://x/Y"),
    ],
)
def test_an_allowed_name_is_found(
    certificate: dict[str, Any], allowed: set[str], name: str
) -> None:
    """DNS names match without case, URIs exactly."""
    assert check_peer_name(certificate, allowed) == name


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {},
        {"subjectAltName": ()},
        {"subjectAltName": (("DNS", "evil.test"),)},
        {"subjectAltName": (("DNS", "*.test"),)},
        {"subjectAltName": (("email", "a.test"), ("IP Address", "a.test"))},
        {"subject": ((("commonName", "a.test"),),)},
        {"subjectAltName": (("DNS", "a.test.evil.test"), ("URI", "https://a.test"))},
    ],
)
def test_other_names_are_refused(certificate: dict[str, Any] | None) -> None:
    """No wildcard, common name, other kind or partial match passes for an allowed name."""
    with pytest.raises(PeerNameError, match=r"none of \['a.test'\]"):
        check_peer_name(certificate, {"a.test"})


def _der(pem: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.read_text())


def test_a_pin_is_the_digest_of_the_public_key_alone(pki: Path, tmp_path: Path) -> None:
    """It can be checked with OpenSSL's own tools, and a renewed certificate may keep it."""
    command = "openssl x509 -in {} -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum"
    ours = key_pin(_der(pki / "server.pem"))
    told = subprocess.run(
        command.format(pki / "server.pem"), shell=True, capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[0] == ours
    assert ours != key_pin(_der(pki / "client.pem"))


@pytest.mark.parametrize("pins", [["ab"], ["g" * 64], ["a" * 63, "b" * 64], [""]])
def test_a_pin_that_is_none_is_refused(pins: list[str]) -> None:
    """A misspelled pin must not pass for none, nor for one that never matches."""
    with pytest.raises(ValueError, match="64 hex digits"):
        check_pins(pins)
    assert check_pins(["A" * 64]) == {"a" * 64}


async def test_a_pinned_key_is_insisted_on(pki: Path, meeting: Meeting) -> None:
    """Any of the pins will do; a key that is none of them ends it before a byte of ours."""
    right, other = key_pin(_der(pki / "server.pem")), "0" * 64
    meeting.pins = {other, right}
    await meeting.hold(*_contexts(pki))
    assert meeting.client == b"!"
    meeting.pins = {other}
    await meeting.hold(*_contexts(pki))
    assert isinstance(meeting.client, PinnedKeyError)
    assert meeting.server != b"?"


@pytest.mark.parametrize("missing", ["ca", "certificate", "key"])
def test_a_missing_file_is_named(pki: Path, tmp_path: Path, missing: str) -> None:
    """What cannot be read is said, before any connection is tried."""
    files = {**_files(pki, "client"), missing: tmp_path / "nowhere.pem"}
    with pytest.raises(TLSFilesError, match=r"nowhere\.pem.*: No such file"):
        client_context(**files)


def test_rubbish_files_are_named(pki: Path, tmp_path: Path) -> None:
    """A file that holds no certificate is refused."""
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("not a certificate")
    with pytest.raises(TLSFilesError, match="rubbish"):
        server_context(**{**_files(pki, "server"), "ca": rubbish})
    with pytest.raises(TLSFilesError, match="rubbish"):
        server_context(**{**_files(pki, "server"), "certificate": rubbish})


def test_a_key_of_another_certificate_is_refused(pki: Path) -> None:
    """Certificate and key must belong together."""
    with pytest.raises(TLSFilesError, match="mismatch"):
        client_context(**{**_files(pki, "client"), "key": pki / "server.key"})


def test_an_encrypted_key_is_refused_without_asking(pki: Path, tmp_path: Path) -> None:
    """A service never waits for a password on a terminal."""
    key = serialization.load_pem_private_key((pki / "client.key").read_bytes(), password=None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TLSFilesError, match="locked"):
        client_context(**{**_files(pki, "client"), "key": locked})


def test_the_wrong_purpose_is_noticed_at_start(pki: Path) -> None:
    """A server certificate does not make a client, nor the other way round."""
    with pytest.raises(TLSFilesError, match="not usable by a client"):
        client_context(**_files(pki, "server"))
    with pytest.raises(TLSFilesError, match="not usable by a server"):
        server_context(**_files(pki, "client"))


@pytest.mark.parametrize("days", [-100, 100])
def test_a_certificate_out_of_its_time_is_noticed_at_start(tmp_path: Path, days: int) -> None:
    """An expired certificate, or one not yet valid, is refused before peers see it."""
    issued = datetime.now(UTC) + timedelta(days=days)
    development_pki(tmp_path, {"client": (CLIENT_NAME, "client")}, now=issued)
    with pytest.raises(TLSFilesError, match=r"expired|not yet valid"):
        client_context(**_files(tmp_path, "client"))


def test_a_certificate_of_another_ca_is_noticed_at_start(pki: Path, tmp_path: Path) -> None:
    """Our own certificate must come from the CA that the peers trust."""
    development_pki(tmp_path, {"client": (CLIENT_NAME, "client")})
    with pytest.raises(TLSFilesError, match="not usable by a client"):
        client_context(**{**_files(pki, "client"), "ca": tmp_path / "ca.pem"})


def test_a_foreign_well_made_pki_serves_as_well(tmp_path: Path) -> None:
    """Nothing depends on the development PKI's own form."""
    authority = trustme.CA()
    leaf = authority.issue_cert(SERVER_NAME)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "server.key")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    server_context(**_files(tmp_path, "server"))


async def test_new_files_serve_new_connections(pki: Path, tmp_path: Path, meeting: Meeting) -> None:
    """Reloading is building a new context; a broken file raises and leaves the old one in use."""
    shutil.copytree(pki, tmp_path, dirs_exist_ok=True)
    client, server = _contexts(tmp_path)
    (tmp_path / "server.pem").write_text("half a certif")
    with pytest.raises(TLSFilesError):
        server_context(**_files(tmp_path, "server"))
    await meeting.hold(client, server)
    assert meeting.client == b"!"
    (tmp_path / "server.pem").unlink()
    development_pki(tmp_path, {"server": (SERVER_NAME, "server")})
    await meeting.hold(client, server_context(**_files(tmp_path, "server")))
    assert meeting.client == b"!"
