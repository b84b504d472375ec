"""From a URL to a connection: resolve, check every address, connect to one that was checked.

The name is resolved by us, once for each connection; TLS is made with the name, on a socket that is
connected to the address which was looked at. So a name that answers differently the second time
(DNS rebinding) gains nothing: there is no second time. No proxy and no redirect is ever followed.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio

from api.webhooks.addresses import refusal_of
from api.webhooks.targets import TargetURL
from chassis.settings.webhooks import Webhooks

ADDRESSES_MAX: Final = 4  # of one name, tried in turn
# Asks for the addresses of a name; raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class DialError(Exception):
    """No connection was made.

    Args:
        reason: a word for the delivery's log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def system_resolver(limits: Webhooks) -> Resolve:
    """Asks the system, in threads of its own: a name server that is silent holds up few names."""
    return partial(_resolve, trio.CapacityLimiter(limits.resolvers_max))


async def _resolve(limiter: trio.CapacityLimiter, host: str, port: int) -> Sequence[str]:
    found = await trio.to_thread.run_sync(
        partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM),
        limiter=limiter,
        abandon_on_cancel=True,
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Trusts the system's CAs, and those of a file for tests; TLS 1.2 or newer.

    Raises:
        OSError: the file cannot be read, or holds no certificates.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


class Dialer:
    """Makes connections to endpoints.

    Args:
        resolve: finds addresses.
        context: of TLS.
    """

    def __init__(self, resolve: Resolve, context: ssl.SSLContext) -> None:
        self._resolve = resolve
        self._context = context

    async def dial(self, url: TargetURL) -> trio.abc.Stream:
        """Connect; the caller sets the time.

        Raises:
            DialError: the name has no address, one that is not allowed, or none that answers.
        """
        stream = await _connect(await self._checked(url), url.port)
        if not url.is_tls:
            return stream
        secured = trio.SSLStream(
            stream, self._context, server_hostname=url.host, https_compatible=True
        )
        try:
            await secured.do_handshake()
        except trio.BrokenResourceError:
            await trio.aclose_forcefully(secured)
            raise DialError("tls_failed") from None
        except BaseException:
            await trio.aclose_forcefully(secured)
            raise
        return secured

    async def _checked(self, url: TargetURL) -> Sequence[str]:
        """The addresses of a host; one that is not allowed refuses all."""
        try:
            addresses = await self._resolve(url.host, url.port)
        except (OSError, UnicodeError):
            raise DialError("name_unknown") from None
        if not addresses:
            raise DialError("name_unknown")
        if any(refusal_of(address, allow_loopback=url.is_local) for address in addresses):
            raise DialError("address_refused")
        return addresses[:ADDRESSES_MAX]


async def _connect(addresses: Sequence[str], port: int) -> trio.SocketStream:
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connecting = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            await connecting.connect((address, port))
        except OSError:
            connecting.close()
        except BaseException:
            connecting.close()
            raise
        else:
            return trio.SocketStream(connecting)
    raise DialError("not_connected")
