from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from msgspec.structs import replace

from tests.support.link import SETTINGS, Host, Peer


@pytest.fixture
def make_host(nursery: trio.Nursery) -> Callable[..., Host]:
    """Build a host whose group runs in the background; keywords change its settings."""

    def make(**changes: object) -> Host:
        host = Host(replace(SETTINGS, **changes))
        nursery.start_soon(host.group.run)
        return host

    return make


@pytest.fixture
async def signed_on(make_host: Callable[..., Host]) -> tuple[Host, Peer]:
    """A group with one link that is up, and its peer."""
    host = make_host()
    peer = await host.peer()
    await peer.accept_sign_on()
    return host, peer
