"""The switch's end of links to a network, made of the real parts: files, dialer, group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import trio
from msgspec.structs import replace

from chassis.clock import now_us
from chassis.settings.tree import Network
from switch.credentials import Credentials
from switch.dialing import Dialer
from switch.hsm import AskHSM
from switch.iso8583 import Dialect, load_dialect
from switch.link.authentication import Authentication
from switch.link.correlation import correlation_key
from switch.link.events import Answered, LinkEvent
from switch.link.group import LinkGroup
from switch.link.mac_keys import MacKeys
from switch.link.mac_stage import MacStage
from tests.support.network import sale
from tests.support.network_host import CLIENT, SERVER

NET87B = load_dialect("net87b")
SETTINGS = Network(
    server_name=SERVER,
    client_name=CLIENT,
    reconnect_min_s=0.01,
    reconnect_max_s=0.02,
    sign_on_timeout_s=1.0,
)


class Acquiring:
    """A link group over mutual TLS, what became of its messages, and a load to put on it.

    Args:
        pki: where our certificate is, as in `<data-dir>/pki/`.
        addresses: of the network's hosts.
        dialect: of the messages.
        ask_hsm: makes and verifies MACs; None = messages carry none.
        now_us: microseconds since 1970.
        changes: to `SETTINGS`.
    """

    def __init__(
        self,
        pki: Path,
        addresses: Sequence[str],
        *,
        dialect: Dialect = NET87B,
        ask_hsm: AskHSM | None = None,
        now_us: Callable[[], int] = now_us,
        **changes: object,
    ) -> None:
        settings = replace(SETTINGS, **changes)
        self.dialect = dialect
        self.credentials = Credentials(pki, "vsim")
        self.events: list[LinkEvent] = []
        self.refused = 0  # messages for which there was no slot
        self._numbers, self._stans = count(1), count(900_000)
        self._closed_loop = False

        def authenticate(alarm: Callable[[str], None]) -> Authentication:
            assert ask_hsm is not None
            return Authentication(
                "vsim",
                settings,
                dialect,
                keys=MacKeys("vsim", ask_hsm, now_us),
                stage=MacStage("vsim", ask_hsm, batch_max=512),
                alarm=alarm,
            )

        self.group = LinkGroup(
            "vsim",
            settings,
            dialect,
            Dialer("vsim", settings, addresses, self.credentials).connect,
            on_events=self._on_events,
            next_stan=lambda: (f"{next(self._stans):06d}", "1122071000"),
            lease_holds=lambda: True,
            authenticate=authenticate if ask_hsm is not None else None,
        )
        macs = self.group.authentication
        self._encode = macs.encode if macs is not None else dialect.encode

    def send(self) -> None:
        """Send one sale, its number as token."""
        number = next(self._numbers)
        slot = self.group.reserve()
        if slot is None:
            self.refused += 1
            return
        fields = sale({11: f"{number:06d}", 37: f"{number:012d}"})
        frame = self._encode(fields)
        self.group.send(slot, correlation_key(fields), frame, number, trio.current_time())

    async def load(self, in_flight: int, work: Callable[[], object]) -> None:
        """Keep so many sales in flight while `work`, a coroutine function, runs."""
        self._closed_loop = True
        for _ in range(in_flight):
            self.send()
        await work()  # type: ignore[misc]
        self._closed_loop = False
        await self.until(lambda: self.group.in_flight == 0)

    async def until(self, condition: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait, within bounds, for what the network brings about."""
        with trio.fail_after(within_s):
            while not condition():
                await trio.sleep(0.002)

    @property
    def kinds(self) -> set[type[LinkEvent]]:
        """What became of messages so far."""
        return {type(event) for event in self.events}

    def _on_events(self, events: list[LinkEvent]) -> None:
        self.events += events
        if self._closed_loop:
            for event in events:
                if isinstance(event, Answered):
                    self.send()
