"""What the links of one network share, and what they need from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from chassis.settings.tree import Network
from switch.iso8583 import Dialect
from switch.link.authentication import Authentication
from switch.link.correlation import Correlation
from switch.link.counters import LinkCounters
from switch.link.events import LinkEvent
from switch.link.session import EchoPolicy, Told

Connect = Callable[[int, Callable[[], None]], Awaitable[trio.abc.Stream]]
"""Makes one connection, TLS and the check of the peer included; raises what `connect_tls` raises.

The number says whose turn it is among the network's hosts: it starts with the link's place and goes
up with every connection that did not prove itself. The function is called when TCP stands.
"""


@attrs.define
class NetworkDay:
    """The network's settlement date as its last cutover said, for answers that lack DE 15."""

    settlement_date: str = ""  # MMDD; empty before the first cutover


@attrs.frozen(kw_only=True)
class LinkContext:
    """What the links of one group share."""

    name: str  # the network's
    network: Network
    dialect: Dialect
    echo: EchoPolicy
    connect: Connect
    next_stan: Callable[[], tuple[str, str]]
    correlation: Correlation
    counters: LinkCounters
    day: NetworkDay
    deliver: Callable[[list[LinkEvent]], None]
    changed: Callable[[], object]  # called after a link came up or went down
    # What a link was told about the whole network, the link, and the frame it came in.
    told: Callable[[Told, Any, bytes], None]
    authentication: Authentication | None  # None where messages carry no MACs
    lease_holds: Callable[[], bool]  # whether financial messages may leave at this instant
