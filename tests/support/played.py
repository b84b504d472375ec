"""A network played inside the test, by a script, and acquirers that come to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import msgspec
import trio

from chassis.tls import client_context, connect_tls, server_context
from network_sim.faults import FaultScript, Rule
from network_sim.playing import Options, Playing, play
from switch.iso8583 import Dialect
from tests.support.network import Acquirer
from tests.support.network_host import LIMITS, NETWORK, SERVER


@attrs.frozen
class Stage:
    """A played network, and the means to connect to it."""

    playing: Playing
    pki: Path
    dialect: Dialect
    clients: list[trio.abc.AsyncResource] = attrs.field(factory=list)

    async def dial(self, **options: Any) -> Acquirer:
        """Connect and shake hands."""
        context = client_context(
            ca=self.pki / "ca.pem",
            certificate=self.pki / "switch.pem",
            key=self.pki / "switch.key",
        )
        stream = await connect_tls("127.0.0.1", self.playing.port, context, server_name=SERVER)
        self.clients.append(stream)
        return Acquirer(stream, self.dialect, **options)

    async def sign_on(self) -> Acquirer:
        """Connect, shake hands and open the session."""
        acquirer = await self.dial()
        await acquirer.sign_on()
        return acquirer

    def do(self, *rules: Rule) -> None:
        """Put these rules in place of all others."""
        self.playing.script.replace(rules)


@asynccontextmanager
async def stage(
    folder: Path, pki: Path, dialect: Dialect, *rules: Rule, seed: int = 1, **options: Any
) -> AsyncIterator[Stage]:
    """Play a network on a record of its own until the block ends."""
    settings = {name: options.pop(name) for name in ("codec", "bins") if name in options}
    async with play(
        msgspec.structs.replace(NETWORK, **settings),
        dialect,
        tls=server_context(ca=pki / "ca.pem", certificate=pki / "vsim.pem", key=pki / "vsim.key"),
        journal=folder / "vsim.log",
        options=Options(script=FaultScript(rules, seed=seed), **{"limits": LIMITS, **options}),
    ) as playing:
        staged = Stage(playing, pki, dialect)
        try:
            yield staged
        finally:
            for client in staged.clients:
                await trio.aclose_forcefully(client)


PlayOn = Callable[..., AbstractAsyncContextManager[Stage]]
