"""What the URL of an endpoint may be, and what of it is needed to send. Pure.

https on the ports that the settings allow, by name. Names that a resolver would take for an address
in another guise (127.1, 0x7f.1, 2130706433) are no names. In test mode an endpoint may be on this
machine, by plain HTTP too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

URL_CHARS_MAX: Final = 2_048
_HOST_CHARS_MAX: Final = 253
_VISIBLE: Final = re.compile(r"[!-~]+")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LAST_LABEL: Final = re.compile(r"[a-z][a-z0-9-]*")  # 0x7f and 1 end no name
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


class TargetError(ValueError):
    """A URL that webhooks are not sent to; says which rule it broke, not what it is."""


class TargetURL(Struct, frozen=True):
    """Where to send.

    Attributes:
        is_tls: https.
        host: in lower case and in ASCII, brackets taken off.
        port: given or the scheme's.
        target: path and query, as they are sent.
        is_local: on this machine, in test mode.
    """

    is_tls: bool
    host: str
    port: int
    target: str
    is_local: bool

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = _DEFAULT_PORTS["https" if self.is_tls else "http"]
        return host if self.port == default else f"{host}:{self.port}"


def parse_target(url: str, *, ports: Sequence[int], allow_loopback: bool) -> TargetURL:
    """Read and judge a URL.

    Args:
        url: as the merchant gave it.
        ports: that an endpoint may have, this machine's own aside.
        allow_loopback: whether it may be on this machine.

    Raises:
        TargetError: names the rule.
    """
    if not 1 <= len(url) <= URL_CHARS_MAX:
        raise TargetError(f"must be 1 to {URL_CHARS_MAX} characters")
    try:
        parts = urlsplit(url)
        port, given = parts.port, parts.hostname
    except ValueError:
        raise TargetError("must be a URL") from None
    if parts.scheme not in _DEFAULT_PORTS or not given or not url.startswith(parts.scheme + "://"):
        raise TargetError("must begin with https:// and a host name")
    _check_rest(url, parts)
    host = _ascii_host(given)
    is_local = allow_loopback and _names_this_machine(host)
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if not is_local:
        _check_public(parts.scheme, host, port, ports)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return TargetURL(parts.scheme == "https", host, port, target, is_local)


def _check_rest(url: str, parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise TargetError("must hold no user name and no password")
    if "#" in url:
        raise TargetError("must have no fragment")
    if "\\" in url or not _VISIBLE.fullmatch(f"/{parts.path}{parts.query}"):
        raise TargetError("must be percent-encoded where it is not printable ASCII")


def _check_public(scheme: str, host: str, port: int, ports: Sequence[int]) -> None:
    if scheme != "https":
        raise TargetError("must be https")
    if port not in ports:
        raise TargetError(f"must have port {' or '.join(map(str, ports))}")
    if _is_address(host):
        raise TargetError("must have a host name, not an address")
    labels = host.split(".")
    is_name = (
        len(host) <= _HOST_CHARS_MAX
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
        and _LAST_LABEL.fullmatch(labels[-1])
        and labels[-1] != "localhost"
    )
    if not is_name:
        raise TargetError("must have a public host name")


def _ascii_host(host: str) -> str:
    """A host in lower case; a name of other letters in its ASCII form (IDNA)."""
    host = host.removesuffix(".").lower()
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise TargetError("must have a public host name") from None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _names_this_machine(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
