"""A stack one of whose networks the benchmark itself plays, so that it can go away and come back.

The network is `network_sim` as ever, over mutual TLS on a socket, with its record where a network
of the stack keeps it; only its process is ours. It keeps no record of messages, which would cost
more than the messages.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Literal

import attrs
import msgspec
import trio

from chassis.mac import check_value_text
from chassis.pki import development_pki
from chassis.secrets import Key
from chassis.settings import Settings
from chassis.tls import server_context
from network_sim.authenticated import write_authenticated_dialect
from network_sim.playing import Options, Playing, play
from network_sim.service import journal_path
from network_sim.session import SessionState
from stack.hsm_admin import load_kek, parse_component
from stack.options import Place
from stack.temporary import TemporaryStack, stack_in
from switch.iso8583 import load_dialect

PLAYED: Final = "vsim"
SIGNED_ON_WITHIN_S: Final = 30.0
KEK_BYTES: Final = 32
_POLL_S: Final = 0.01


@attrs.frozen
class Scene:
    """A running stack and the network that we play to it."""

    stack: TemporaryStack
    playing: Playing

    async def signed_on(self) -> None:
        """Wait until the switch has signed on with every connection.

        Raises:
            trio.TooSlowError: it has not.
        """
        wanted = Settings().networks[PLAYED].connections
        initiative = self.playing.host.initiative
        with trio.fail_after(SIGNED_ON_WITHIN_S):
            while True:
                states = [peer.session for peer in initiative.peers()]
                if states.count(SessionState.SIGNED_ON) >= wanted:
                    return
                await trio.sleep(_POLL_S)

    def go_away(self) -> None:
        """End every connection and let nobody in."""
        self.playing.host.accepting = False
        self.playing.host.initiative.cut()

    async def come_back(self) -> None:
        """Let the switch in again, and wait for it; as `signed_on`."""
        self.playing.host.accepting = True
        await self.signed_on()


@asynccontextmanager
async def stack_with_played_network(
    overrides: Mapping[str, str], *, mac: Literal["none", "cmac"] = "none", keep: bool = False
) -> AsyncIterator[Scene]:
    """Run a stack, and play its network `vsim`, until the block ends.

    Args:
        overrides: settings of the stack by dotted key; those of `networks.vsim` are known to both.
        mac: `cmac` = its messages carry MACs, by keys that the network hands out.
        keep: leave the data directory behind.

    Raises:
        TemporaryStackError: the stack did not become ready.
        trio.TooSlowError: the switch has not signed on.
    """
    folder = _make_folder()
    listener = socket.create_server(("127.0.0.1", 0))
    settings = {
        "simulate": "false",
        "port": str(listener.getsockname()[1]),
        "dialect": str(write_authenticated_dialect(folder)) if mac == "cmac" else "net87b",
    }
    network = msgspec.structs.replace(Settings().networks[PLAYED], dialect=settings["dialect"])
    pki, kek = folder / "data" / "pki", Key(os.urandom(KEK_BYTES))
    names = {PLAYED: (network.server_name, "server"), "switch": (network.client_name, "client")}
    development_pki(pki, names)  # type: ignore[arg-type]  # literals, in a dictionary
    ours = {f"networks.{PLAYED}.{key}": value for key, value in settings.items()}
    tls = server_context(
        ca=pki / "ca.pem", certificate=pki / f"{PLAYED}.pem", key=pki / f"{PLAYED}.key"
    )
    try:
        async with stack_in(folder, {"log.level": "warning", **ours, **overrides}) as stack:
            if mac == "cmac":
                await trio.to_thread.run_sync(share_kek, stack.data_dir, kek)
            async with play(
                network,
                load_dialect(network.dialect),
                tls=tls,
                journal=journal_path(stack.data_dir, PLAYED),
                listener=listener,
                options=Options(kek=kek, recorded=False),
            ) as playing:
                scene = Scene(stack, playing)
                await scene.signed_on()
                yield scene
    except BaseExceptionGroup as group:  # of the network's nursery
        raise _lone(group) from None
    finally:
        listener.close()
        if not keep:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))


def _lone(error: BaseException) -> BaseException:
    """The one error in a group, or the group where there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="turnout-"))
    folder.chmod(0o711)  # processes with users of their own pass through to what is theirs
    return folder


def share_kek(data_dir: Path, kek: Key) -> None:
    """Load a key-exchange key into a stack's HSM, in two components, as people do."""
    one = os.urandom(KEK_BYTES)
    other = bytes(a ^ b for a, b in zip(one, kek.reveal(), strict=True))
    components = [
        parse_component(number, part.hex(), check_value_text(part))
        for number, part in enumerate((one, other), start=1)
    ]
    check_value = check_value_text(kek.reveal())
    load_kek(Place(Settings(), data_dir), PLAYED, components, check_value)
