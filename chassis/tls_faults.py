"""Why a TLS connection did not come about, or ended: whose fault it is, and in which words.

Three kinds, because three different people have to act. *Peer*: the other side is not what we may
talk to, which is a security matter until somebody has looked. *Ours*: the other side refused us,
and our certificate, key or name has to be mended. *Path*: nobody refused anybody.

Under TLS 1.3 a client learns that it was refused by its first read only, so errors of established
connections are explained here too.
"""

from __future__ import annotations

import ssl
from typing import Final, Literal

import attrs

from chassis.tls import TLSPeerError

Blame = Literal["peer", "ours", "path"]

# OpenSSL's names of what we found wrong with a peer, besides its certificate.
_PEER_REASONS: Final = {
    "NO_PROTOCOLS_AVAILABLE": "the peer speaks no TLS 1.3",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer presented no certificate",
    "UNSUPPORTED_PROTOCOL": "the peer speaks no TLS 1.3",
    "WRONG_SSL_VERSION": "the peer speaks no TLS 1.3",
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
    "HTTP_REQUEST": "the peer does not speak TLS",
    "PACKET_LENGTH_TOO_LONG": "the peer does not speak TLS",
}
# Alerts by which a peer tells what it has against us (RFC 8446, 6.2), as OpenSSL names them.
_ALERT: Final = "_ALERT_"
_ALERTS: Final = {
    "ACCESS_DENIED": "the peer denies us access",
    "BAD_CERTIFICATE": "the peer takes our certificate for a bad one",
    "CERTIFICATE_EXPIRED": "the peer says that our certificate has expired",
    "CERTIFICATE_REQUIRED": "the peer got no certificate of ours",
    "CERTIFICATE_REVOKED": "the peer says that our certificate was revoked",
    "CERTIFICATE_UNKNOWN": "the peer does not accept our certificate",
    "NO_APPLICATION_PROTOCOL": "the peer does not know our protocol",
    "UNKNOWN_CA": "the peer does not know the CA of our certificate",
    "UNSUPPORTED_CERTIFICATE": "the peer cannot use our certificate",
}


@attrs.frozen
class TLSFault:
    """Who has to act, and on what."""

    blame: Blame
    reason: str


def explain(error: BaseException) -> TLSFault:
    """Say why a connection failed; `error` is what `chassis.tls` or its streams raised.

    The text names certificates and protocols, never what was sent.
    """
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    if isinstance(cause, TLSPeerError):
        return TLSFault("peer", str(cause))
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TLSFault("peer", f"the peer's certificate is refused: {cause.verify_message}")
    if not isinstance(cause, ssl.SSLError):
        return TLSFault("path", f"{type(cause).__name__}: {cause}" if str(cause) else _name(cause))
    return _of_openssl(cause.reason or _name(cause))


def _of_openssl(reason: str) -> TLSFault:
    _, alert, told = reason.partition(_ALERT)
    if reason in _PEER_REASONS or told == "PROTOCOL_VERSION":
        return TLSFault("peer", _PEER_REASONS.get(reason, "the peer speaks no TLS 1.3"))
    if alert:
        return TLSFault("ours", _ALERTS.get(told, f"the peer sent the alert {told}"))
    return TLSFault("path", reason)


def _name(error: BaseException) -> str:
    return type(error).__name__
