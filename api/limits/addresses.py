"""Whose address a request counts for.

Without a proxy it is the peer's of the connection. A proxy that the settings name says in
`X-Forwarded-For` whom it speaks for: the list is read from its end, over the proxies that are ours,
to the first address that is not; what stands before that is what a stranger wrote. Of several such
headers the last one counts, for the same reason. An IPv6 address counts for its network of 64 bits,
which one subscriber has whole.

Loopback addresses count for nobody. They are programs of this machine, or a proxy that the settings
do not name, which would have all the world share one limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

FORWARDED: Final = b"x-forwarded-for"
HOPS_MAX: Final = 8  # of ours, one behind the other; more is a header that somebody made up
KNOWN_PEERS_MAX: Final = 4_096  # a busy server meets the same peers again and again
_IPV6_NETWORK_BYTES: Final = 8

NOBODY: Final = b""


class Addresses:
    """Finds the address that a request counts for.

    Args:
        trusted_proxies: addresses or networks, as `ipaddress.ip_network` reads them.

    Raises:
        ValueError: one of them is neither.
    """

    __slots__ = ("_peer", "_trusted")

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted = tuple(ip_network(text) for text in trusted_proxies)
        self._peer = lru_cache(maxsize=KNOWN_PEERS_MAX)(self._look_at)

    def sender(self, peer: str, headers: Mapping[bytes, bytes]) -> bytes:
        """The address that a request counts for, 4 or 8 bytes; `NOBODY` for none.

        Args:
            peer: of the connection, as the socket tells it.
            headers: of the request, names in lower case.
        """
        address, is_proxy = self._peer(peer)
        if is_proxy and FORWARDED in headers:
            return self._forwarded(headers[FORWARDED], address)
        return address

    def _forwarded(self, header: bytes, proxy: bytes) -> bytes:
        for text in reversed(header.rsplit(b",", HOPS_MAX)[-HOPS_MAX:]):
            try:
                address, is_proxy = self._peer(text.strip().decode("ascii"))
            except ValueError:
                return proxy  # it forwards what is no address: all of that counts as its own
            if not is_proxy:
                return address
        return proxy

    def _look_at(self, text: str) -> tuple[bytes, bool]:
        """An address as it counts, and whether it is a proxy of ours."""
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        is_proxy = any(address in network for network in self._trusted)
        if address.is_loopback:
            return NOBODY, is_proxy
        packed = address.packed
        return packed if len(packed) == 4 else packed[:_IPV6_NETWORK_BYTES], is_proxy
