"""How the links of one network get their connections: hosts in turn, TLS, and the name checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chassis.settings.tree import Network
from chassis.tls import check_pins, connect_tls
from chassis.tls_stream import TLSStream
from switch.credentials import Credentials


class DialingError(ValueError):
    """A network's addresses or pins cannot be used; names the setting."""


class Dialer:
    """Dials one network.

    Args:
        name: of the network.
        settings: its server's name and pinned keys.
        addresses: "host:port" of its hosts, at least one; links spread over them.
        credentials: read anew for each connection.

    Raises:
        DialingError: an address without a port, or a pin that is none.
    """

    def __init__(
        self, name: str, settings: Network, addresses: Sequence[str], credentials: Credentials
    ) -> None:
        self._server_name = settings.server_name
        self._credentials = credentials
        try:
            self._pins = check_pins(settings.pinned_keys)
        except ValueError as error:
            raise DialingError(f"networks.{name}.pinned_keys: {error}") from None
        try:
            self._hosts = [parse_address(address) for address in addresses]
        except ValueError as error:
            raise DialingError(f"networks.{name}.hosts: {error}") from None

    async def connect(self, turn: int, reached: Callable[[], None]) -> TLSStream:
        """Connect to the host whose turn it is; as `switch.link.context.Connect`."""
        host, port = self._hosts[turn % len(self._hosts)]
        return await connect_tls(
            host,
            port,
            self._credentials.context,
            server_name=self._server_name,
            pins=self._pins,
            reached=reached,
        )


def parse_address(address: str) -> tuple[str, int]:
    """Split "host:port"; an IPv6 host may stand in brackets.

    Raises:
        ValueError: there is no host, or no port from 1 to 65535.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)
