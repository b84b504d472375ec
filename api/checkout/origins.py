"""Origins of merchants' pages: which of them may mount the hosted fields.

An origin becomes part of a header (`frame-ancestors`) and of the document's own check of who speaks
to it, so it must be in the one form in which browsers serialize it (RFC 6454, section 6.2): lower
case, no path, no default port, names in ASCII. Whoever registers one is told what is wrong with it;
whoever writes a header takes only what still passes, whatever stands in the ledger.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

ORIGINS_MAX: Final = 20  # of one merchant: they are sent with every document
ORIGIN_CHARACTERS_MAX: Final = 255
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_FORM: Final = re.compile(rf"(https?)://({_LABEL}(?:\.{_LABEL})*)(?::([1-9][0-9]{{0,4}}))?")
_ALL_NUMBERS: Final = re.compile(r"[0-9.]+")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1"})


class OriginError(ValueError):
    """No origin that can be registered; says why, and never repeats what was given."""


def parse_origin(text: str, *, live: bool) -> str:
    """Check an origin such as `https://shop.example` or `http://127.0.0.1:8081`.

    Args:
        text: as a browser sends it in `Origin`.
        live: in live mode only https is accepted; in test mode also http, of this machine.

    Returns:
        The same text.

    Raises:
        OriginError: it is none, or not in the form in which browsers send it.
    """
    if len(text) > ORIGIN_CHARACTERS_MAX:
        raise OriginError(f"is longer than {ORIGIN_CHARACTERS_MAX} characters")
    form = _FORM.fullmatch(text)
    if form is None:
        raise OriginError(
            "must be a scheme and a host in lower case, like https://shop.example or "
            "https://shop.example:8443: no path, no user, no wildcard, names in ASCII (xn--)"
        )
    scheme, host, port = form.groups()
    if port is not None and (int(port) > 65_535 or int(port) == _DEFAULT_PORTS[scheme]):
        raise OriginError("must not name the scheme's own port, nor one above 65535")
    if _ALL_NUMBERS.fullmatch(host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise OriginError("has numbers for a host that are no IPv4 address") from None
    if scheme == "http" and (live or host not in _LOOPBACK):
        raise OriginError("must be https" if live else "must be https, or http of this machine")
    return text


def parse_origins(texts: Iterable[str], *, live: bool) -> tuple[str, ...]:
    """Check all origins of one merchant; repeated ones count once.

    Raises:
        OriginError: one is none, or there are more than `ORIGINS_MAX`.
    """
    origins = tuple(dict.fromkeys(parse_origin(text, live=live) for text in texts))
    if len(origins) > ORIGINS_MAX:
        raise OriginError(f"are more than {ORIGINS_MAX}")
    return origins


def usable_origins(stored: Iterable[str], *, live: bool) -> tuple[str, ...]:
    """Those of a merchant's stored origins that may stand in a header, in their order."""
    usable = []
    for text in stored:
        try:
            usable.append(parse_origin(text, live=live))
        except OriginError:
            continue  # written by other hands, or in the other mode: as if it were not there
    return tuple(usable[:ORIGINS_MAX])
