"""Every way in which two ends refuse each other, and what is said of it at either end."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from chassis.pki import development_pki
from chassis.tls import ALPN, PeerNameError, PinnedKeyError, client_context, server_context
from chassis.tls_faults import TLSFault, explain

SERVER_NAME, CLIENT_NAME = "vsim.turnout.test", "acquirer.turnout.test"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development PKI that is valid now."""
    folder = tmp_path_factory.mktemp("pki")
    development_pki(folder, {"server": (SERVER_NAME, "server"), "client": (CLIENT_NAME, "client")})
    return folder


def _client(pki: Path) -> ssl.SSLContext:
    return client_context(ca=pki / "ca.pem", certificate=pki / "client.pem", key=pki / "client.key")


def _server(pki: Path) -> ssl.SSLContext:
    return server_context(ca=pki / "ca.pem", certificate=pki / "server.pem", key=pki / "server.key")


def _naked(side: int, pki: Path, stem: str = "") -> ssl.SSLContext:
    """A context with none of our strictness; it trusts everybody."""
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([ALPN])
    if stem:
        context.load_cert_chain(pki / f"{stem}.pem", pki / f"{stem}.key")
    return context


def _shake(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, TLSFault]:
    """Shake hands in memory and read once; what each end has to say, if anything."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=SERVER_NAME)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    faults: dict[str, TLSFault] = {}
    shaken: set[str] = set()
    for _ in range(6):
        for name, end in (("client", near), ("server", far)):
            if name in faults:
                continue
            try:
                if name not in shaken:
                    end.do_handshake()
                    shaken.add(name)
                end.read(1)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                broken = trio.BrokenResourceError()
                broken.__cause__ = error
                faults[name] = explain(broken)
    return faults


def test_ends_that_get_on_have_nothing_to_say(pki: Path) -> None:
    """The good twin of everything below."""
    assert _shake(_client(pki), _server(pki)) == {}


def test_a_server_of_another_ca(pki: Path, tmp_path: Path) -> None:
    """The client refuses, the server learns of it."""
    development_pki(tmp_path, {"server": (SERVER_NAME, "server")})
    faults = _shake(_client(pki), _server(tmp_path))
    assert faults["client"].blame == "peer"
    assert faults["client"].reason.startswith("the peer's certificate is refused: self-signed")
    assert faults["server"] == TLSFault("ours", "the peer does not know the CA of our certificate")


def test_an_expired_server(pki: Path, tmp_path: Path) -> None:
    """Said by its name at both ends."""
    _expired(pki, tmp_path, "server", SERVER_NAME)
    faults = _shake(_client(pki), _naked(ssl.PROTOCOL_TLS_SERVER, tmp_path, "server"))
    refused = "the peer's certificate is refused: certificate has expired"
    assert faults["client"] == TLSFault("peer", refused)
    assert faults["server"] == TLSFault("ours", "the peer says that our certificate has expired")


def test_a_server_of_another_name(pki: Path, tmp_path: Path) -> None:
    """The name that was wanted is in the words."""
    _copy_ca(pki, tmp_path)
    development_pki(tmp_path, {"server": ("other.turnout.test", "server")})
    faults = _shake(_client(pki), _server(tmp_path))
    assert faults["client"].blame == "peer"
    assert (
        f"Hostname mismatch, certificate is not valid for '{SERVER_NAME}'"
        in faults["client"].reason
    )


def test_a_client_without_certificate(pki: Path) -> None:
    """The client hears of it by its first read."""
    faults = _shake(_naked(ssl.PROTOCOL_TLS_CLIENT, pki), _server(pki))
    assert faults == {
        "server": TLSFault("peer", "the peer presented no certificate"),
        "client": TLSFault("ours", "the peer got no certificate of ours"),
    }


def test_an_expired_client(pki: Path, tmp_path: Path) -> None:
    """Our own context would not even start with it; an old process may have it still."""
    _expired(pki, tmp_path, "client", CLIENT_NAME)
    faults = _shake(_naked(ssl.PROTOCOL_TLS_CLIENT, tmp_path, "client"), _server(pki))
    refused = "the peer's certificate is refused: certificate has expired"
    assert faults["server"] == TLSFault("peer", refused)
    assert faults["client"] == TLSFault("ours", "the peer says that our certificate has expired")


def test_a_client_of_another_ca(pki: Path, tmp_path: Path) -> None:
    """The server refuses, the client learns of it."""
    development_pki(tmp_path, {"client": (CLIENT_NAME, "client")})
    faults = _shake(_naked(ssl.PROTOCOL_TLS_CLIENT, tmp_path, "client"), _server(pki))
    assert faults["server"].blame == "peer"
    assert faults["client"] == TLSFault("ours", "the peer does not know the CA of our certificate")


def test_a_server_of_old(pki: Path) -> None:
    """TLS 1.2 at most: no version in common."""
    old = _naked(ssl.PROTOCOL_TLS_SERVER, pki, "server")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    faults = _shake(_client(pki), old)
    assert faults["client"] == TLSFault("peer", "the peer speaks no TLS 1.3")


def test_a_client_of_old(pki: Path) -> None:
    """The same the other way round."""
    old = _naked(ssl.PROTOCOL_TLS_CLIENT, pki, "client")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    faults = _shake(old, _server(pki))
    assert faults["server"] == TLSFault("peer", "the peer speaks no TLS 1.3")


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x1d0800 plain"])
def test_a_peer_that_speaks_no_tls(pki: Path, greeting: bytes) -> None:
    """What is no TLS record is refused as such, and nothing is said in the clear."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = _client(pki).wrap_bio(incoming, outgoing, server_hostname=SERVER_NAME)
    with pytest.raises(ssl.SSLWantReadError):
        end.do_handshake()
    incoming.write(greeting)
    with pytest.raises(ssl.SSLError) as refused:
        end.do_handshake()
    assert explain(refused.value) == TLSFault("peer", "the peer does not speak TLS")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (PeerNameError("for ['a'], none of ['b']"), TLSFault("peer", "for ['a'], none of ['b']")),
        (PinnedKeyError("another key"), TLSFault("peer", "another key")),
        (ConnectionRefusedError(111, "refused"), TLSFault("path", "")),
        (trio.TooSlowError(), TLSFault("path", "TooSlowError")),
        (trio.BrokenResourceError(), TLSFault("path", "BrokenResourceError")),
    ],
)
def test_other_errors_have_words_too(error: Exception, fault: TLSFault) -> None:
    """Whatever a connection can fail of, somebody is named and something is said."""
    explained = explain(error)
    assert explained.blame == fault.blame
    assert fault.reason in explained.reason
    assert explained.reason


def _copy_ca(source: Path, to: Path) -> None:
    for name in ("ca.pem", "ca.key"):
        (to / name).write_bytes((source / name).read_bytes())


def _expired(pki: Path, folder: Path, stem: str, name: str) -> None:
    """A leaf of the same CA whose time is over."""
    _copy_ca(pki, folder)
    role = "server" if stem == "server" else "client"
    then = datetime.now(UTC) - timedelta(days=100)
    development_pki(folder, {stem: (name, role)}, now=then)  # type: ignore[dict-item]
