"""Mutual TLS for the links to card networks and between machines.

Theory of operation. Both ends speak TLS 1.3 only, present a certificate, and trust one private CA
and nothing else: no system store, no session tickets, no key log. OpenSSL checks the chain, the
dates and the purpose (strictly, RFC 5280); a server knows no name to expect of a client, so names
are compared with an allowlist here, after the handshake, in both directions alike.

A context is tried out before anyone gets it: its certificate and key meet a counterpart in memory
and must be accepted in their role. Reloading is therefore building a new context and swapping it
in: a broken file leaves the old one in place.

Under TLS 1.3 a client that presents a bad certificate, or none, finishes its handshake without an
error and learns of its refusal by its first read. A link is up only after its sign-on is answered.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from chassis.tls_stream import TLSStream

ALPN = "turnout-iso8583"  # an own name, so that no other service accepts our certificates' traffic
Role = Literal["client", "server"]
_PIN: Final = re.compile(r"[0-9a-f]{64}")


class TLSFilesError(Exception):
    """Our own certificate, key or CA cannot be used; names the file and the reason."""


class TLSPeerError(ConnectionError):
    """The peer is not one we talk to, though its certificate comes from our CA."""


class PeerNameError(TLSPeerError):
    """The peer's certificate carries none of the allowed names."""


class PinnedKeyError(TLSPeerError):
    """The peer's key is none of those that were pinned: another key under a name we know."""


def client_context(*, ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """What a client of mutual TLS connects with, proven to be usable.

    Args:
        ca: PEM file of the one CA whose servers are trusted.
        certificate: PEM file of our certificate, intermediates after it.
        key: PEM file of its unencrypted private key.

    Raises:
        TLSFilesError: a file is missing, unreadable, does not match, has expired or is not for
            clients.
    """
    return _proven_context("client", ca, certificate, key)


def server_context(*, ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server of mutual TLS accepts with; arguments and errors as of `client_context`."""
    return _proven_context("server", ca, certificate, key)


def check_peer_name(certificate: Mapping[str, Any] | None, allowed: Collection[str]) -> str:
    """Return the first name of a peer's certificate that is allowed.

    Args:
        certificate: what `getpeercert()` gives.
        allowed: DNS names or URIs, compared whole; wildcards match nothing.

    Raises:
        PeerNameError: there is none; says which names there were.
    """
    names: list[str] = [
        value.lower() if kind == "DNS" else value
        for kind, value in (certificate or {}).get("subjectAltName", ())
        if kind in ("DNS", "URI")
    ]
    for name in names:
        if name in allowed:
            return name
    raise PeerNameError(f"the peer's certificate is for {names}, none of {sorted(allowed)}")


def check_pins(pins: Collection[str]) -> frozenset[str]:
    """Return pins as they are compared.

    Raises:
        ValueError: one is no SHA-256 in hex.
    """
    lowered = frozenset(pin.lower() for pin in pins)
    if not all(_PIN.fullmatch(pin) for pin in lowered):
        raise ValueError("a pinned key is named by the 64 hex digits of its SHA-256")
    return lowered


def key_pin(certificate: bytes) -> str:
    """What pins the key of a certificate (DER): SHA-256 of its SubjectPublicKeyInfo, in hex.

    `openssl x509 -in FILE -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum` says the
    same.
    """
    key = x509.load_der_x509_certificate(certificate).public_key()
    encoded = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(encoded).hexdigest()


def check_pinned_key(certificate: bytes | None, pins: Collection[str]) -> None:
    """Hold a peer's key against pins as of `check_pins`; without pins any key will do.

    Raises:
        PinnedKeyError: it is none of them.
    """
    if pins and (certificate is None or key_pin(certificate) not in pins):
        raise PinnedKeyError("the peer's key is none of the pinned ones")


def check_peer(tls: ssl.SSLObject, allowed: Collection[str], *, alpn_required: bool = True) -> str:
    """Judge a finished handshake: version, protocol, name; returns the peer's name.

    Args:
        tls: after the handshake.
        allowed: names, as of `check_peer_name`.
        alpn_required: whether a peer is refused that names no protocol, not only another one.

    Raises:
        TLSPeerError: another version or protocol.
        PeerNameError: another name.
    """
    if tls.version() != "TLSv1.3":
        raise TLSPeerError(f"the peer speaks {tls.version()}")
    if tls.selected_alpn_protocol() not in ({ALPN} if alpn_required else {ALPN, None}):
        raise TLSPeerError(f"the peer did not choose the protocol {ALPN}")
    return check_peer_name(tls.getpeercert(), allowed)


async def connect_tls(
    host: str,
    port: int,
    context: ssl.SSLContext,
    *,
    server_name: str,
    pins: Collection[str] = (),
    reached: Callable[[], None] = lambda: None,
) -> TLSStream:
    """Connect, shake hands and check the server; the deadline is the caller's scope.

    Args:
        host: name or address.
        port: of TCP.
        context: of `client_context`.
        server_name: what the server's certificate must say.
        pins: of `check_pins`; empty = any key that the CA vouches for.
        reached: called when TCP stands, before TLS.

    Raises:
        OSError: not reachable, or refused by name, protocol or key (TLSPeerError).
        trio.BrokenResourceError: the handshake failed; the reason is its cause.
    """
    transport = await trio.open_tcp_stream(host, port)
    reached()
    transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stream = TLSStream(transport, context, server_hostname=server_name)
    return await _shaken(stream, {server_name}, pins)


async def accept_tls(
    transport: trio.SocketStream,
    context: ssl.SSLContext,
    *,
    client_names: Collection[str],
    alpn_required: bool = True,
) -> TLSStream:
    """Shake hands with a client and check it; raises as `connect_tls` does, and then closes."""
    stream = TLSStream(transport, context, server_side=True)
    return await _shaken(stream, client_names, alpn_required=alpn_required)


async def _shaken(
    stream: TLSStream,
    allowed: Collection[str],
    pins: Collection[str] = (),
    *,
    alpn_required: bool = True,
) -> TLSStream:
    try:
        await stream.do_handshake()
        check_peer(stream.tls, allowed, alpn_required=alpn_required)
        check_pinned_key(stream.tls.getpeercert(binary_form=True), pins)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


def _proven_context(role: Role, ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = _context(role, ca, certificate, key)
    _prove(role, ca, certificate, key)
    return context


def _context(role: Role, ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """Build a context; nothing but the three files and the constants here goes into it."""
    # SSLContext itself loads no system store and no key log, unlike create_default_context.
    context = ssl.SSLContext(
        ssl.PROTOCOL_TLS_CLIENT if role == "client" else ssl.PROTOCOL_TLS_SERVER
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols([ALPN])
    if role == "server":
        context.num_tickets = 0  # no resumption: each connection proves its certificate
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise TLSFilesError(f"{ca}: {_reason(error)}") from None
    try:
        # An encrypted key would make OpenSSL ask on the terminal; an empty password refuses it.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise TLSFilesError(f"{certificate} with {key}: {_reason(error)}") from None
    return context


def _prove(role: Role, ca: Path, certificate: Path, key: Path) -> None:
    """Let the certificate be judged in its role, by a handshake in memory.

    The judge trusts the same CA. It needs a certificate itself where it is the server, and for
    want of another presents the same one, which the other side of this rehearsal does not check.
    """
    other: Role = "client" if role == "server" else "server"
    judge, judged = _context(other, ca, certificate, key), _context(role, ca, certificate, key)
    judge.check_hostname = False
    judged.check_hostname = False
    judged.verify_mode = ssl.CERT_NONE
    client, server = (judged, judge) if role == "client" else (judge, judged)
    try:
        _shake_in_memory(client, server)
    except ssl.SSLError as error:
        raise TLSFilesError(f"{certificate}: not usable by a {role}: {_reason(error)}") from None


def _shake_in_memory(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    # Three flights; the server judges the client in the last, after the client has finished.
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.strerror or getattr(error, "reason", "") or type(error).__name__
