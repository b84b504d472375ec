"""Which addresses a webhook may be sent to (security.md 5.3). Pure.

Whoever can name a URL that we call could have us call our own network. So a name is resolved by us,
every address that it has is looked at here, and the connection is made to an address that was
looked at. `ip.is_global` alone is wrong: it is true of multicast, of NAT64 and 6to4 addresses that
lead to whatever IPv4 address is inside them, and of others; so these are refused by name.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# Addresses that lead elsewhere, or that a cloud answers itself, although they look public.
_DENIED_4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; some clouds' metadata
        "168.63.129.16/32",  # a cloud's metadata
        "192.0.0.0/24",  # IETF protocol assignments, 192.0.0.8 and others
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_DENIED_6: Final = tuple(
    IPv6Network(text)
    for text in (
        "::/96",  # IPv4-compatible; with ::1 and ::
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # local NAT64
        "100::/63",  # discard; dummy
        "2001::/23",  # Teredo and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link local
        "fec0::/10",  # site local
        "ff00::/8",  # multicast
    )
)


def refusal_of(text: str, *, allow_loopback: bool = False) -> str:
    """Why an address may not be dialed; empty if it may.

    Args:
        text: as a resolver gives it: IPv4 in four decimals, or IPv6, perhaps with a zone.
        allow_loopback: for endpoints on this machine, in test mode: 127.0.0.0/8 and ::1, and then
            nothing else.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return "not_an_address"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or allow_loopback:
        return "" if address.is_loopback and allow_loopback else "not_public"
    denied = (
        any(address in network for network in _DENIED_4)
        if isinstance(address, IPv4Address)
        else any(address in network for network in _DENIED_6)
    )
    is_public = address.is_global and not (
        denied
        or address.is_multicast
        or address.is_reserved
        or address.is_private
        or address.is_link_local
        or address.is_unspecified
    )
    return "" if is_public else "not_public"
