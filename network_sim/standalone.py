"""A network by itself, for the engineers of an acquirer: what `turnout network` runs."""

from __future__ import annotations

import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final, Literal, TextIO

import attrs
import trio

from chassis.development_keks import (
    DevelopmentKekError,
    development_keks,
    network_kek_path,
    read_development_kek,
)
from chassis.log import configure_logging
from chassis.pki import development_pki
from chassis.secrets import Key
from chassis.settings.tree import Log, Network
from chassis.tls import TLSFilesError, server_context
from network_sim.console import Console
from network_sim.console_commands import obey
from network_sim.faults import FaultScript, ScriptError, parse_script, read_script
from network_sim.host import Admission
from network_sim.journal import JournalError
from network_sim.playing import Options, Playing, play
from network_sim.samples import samples
from switch.iso8583 import Dialect, DialectError, load_dialect

NETWORK_NAME: Final = "network"  # of its files: network.pem, network.key, network.kek
ACQUIRER_NAME: Final = "acquirer"
SERVER_DNS: Final = "network.turnout.test"
CLIENT_DNS: Final = "acquirer.turnout.test"
TRIGGERS: Final = "triggers.toml"
_MAC_CHOICES = Literal["none", "cmac"]


class CannotStartError(Exception):
    """The network cannot be started; says why, and how to mend it."""


@attrs.frozen(kw_only=True)
class Plan:
    """What was asked for.

    Attributes:
        dialect: name, or path of a file.
        host: address to listen on.
        port: 0 = any free one.
        certs: folder of the certificates; made there where they are missing.
        mac: None = as the dialect says.
        script: file of faults.
        seed: in place of the script's.
        triggers: whether amounts trigger faults.
        codec: which one packs.
        sign_on: whether a sign-on is wanted.
        record: file of the network's own record; None = one that is removed in the end.
        time_factor: of every timer.
        verbose: whether messages are shown element by element.
    """

    dialect: str
    host: str
    port: int
    certs: Path
    mac: _MAC_CHOICES | None
    script: Path | None
    seed: int | None
    triggers: bool
    codec: Literal["compiled", "pyiso8583"]
    sign_on: bool
    record: Path | None
    time_factor: float
    verbose: bool


def make_certs(folder: Path) -> None:
    """Make CA, certificates of network and acquirer, and the key-exchange key they share.

    Raises:
        CannotStartError: the folder is not writable, or holds something else.
    """
    try:
        development_pki(
            folder,
            {NETWORK_NAME: (SERVER_DNS, "server"), ACQUIRER_NAME: (CLIENT_DNS, "client")},
        )
        development_keks(folder, [NETWORK_NAME])
    except (OSError, ValueError, DevelopmentKekError) as error:
        raise CannotStartError(f"no certificates in {folder}: {error}") from error


def load_script(plan: Plan) -> FaultScript:
    """The script that was asked for, and the triggers behind it."""
    script = FaultScript() if plan.script is None else read_script(plan.script)
    seed = script.seed if plan.seed is None else plan.seed
    return FaultScript([*script, *(trigger_rules() if plan.triggers else ())], seed=seed)


def trigger_rules() -> FaultScript:
    """Amounts that make the network do something out of the ordinary."""
    text = resources.files(__package__).joinpath(TRIGGERS).read_text("utf-8")
    return parse_script(text, TRIGGERS)


def run(plan: Plan, *, output: TextIO, commands: TextIO | None) -> None:
    """Play the network until SIGINT or SIGTERM.

    Args:
        plan: what was asked for.
        output: where messages are told.
        commands: where commands are read from; None = nowhere.

    Raises:
        CannotStartError: it cannot be started.
    """
    configure_logging(Log(level="error"), process="network")
    try:
        trio.run(partial(_run, plan, output, commands))
    except* JournalError as failures:
        raise CannotStartError(str(failures.exceptions[0])) from None


async def _run(plan: Plan, output: TextIO, commands: TextIO | None) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with _playing(plan) as (playing, dialect):
            console = Console(output, dialect, verbose=plan.verbose)
            console.begin(
                address=f"{plan.host}:{playing.port}",
                certs=plan.certs,
                seed=playing.script.seed,
                rules=len(playing.script),
                mac=playing.keys is not None,
                samples=samples(dialect, verbose=plan.verbose),
            )
            console.follow(playing)
            async with trio.open_nursery() as nursery:
                if commands is not None:
                    nursery.start_soon(obey, commands, playing, console)
                async for _ in signals:
                    break
                nursery.cancel_scope.cancel()
            console.end(playing)


@asynccontextmanager
async def _playing(plan: Plan) -> AsyncIterator[tuple[Playing, Dialect]]:
    """The network as planned; what keeps it from starting is a `CannotStartError`."""
    make_certs(plan.certs)
    with tempfile.TemporaryDirectory(prefix="turnout-network-") as folder:
        try:
            dialect = load_dialect(plan.dialect)
            start = partial(
                play,
                Network(
                    dialect=plan.dialect,
                    server_name=SERVER_DNS,
                    client_name=CLIENT_DNS,
                    codec=plan.codec,
                    response_deadline_s=dialect.policy.response_deadline_s,
                ),
                dialect,
                tls=server_context(
                    ca=plan.certs / "ca.pem",
                    certificate=plan.certs / f"{NETWORK_NAME}.pem",
                    key=plan.certs / f"{NETWORK_NAME}.key",
                ),
                journal=plan.record or Path(folder) / "network.log",
                listener=_listen(plan),
                options=Options(
                    script=load_script(plan),
                    mac=plan.mac,
                    kek=_kek(plan),
                    admission=Admission(alpn_required=False, sign_on_required=plan.sign_on),
                    time_factor=plan.time_factor,
                    explained=plan.verbose,
                ),
            )
        except (DialectError, ScriptError, TLSFilesError, DevelopmentKekError) as error:
            raise CannotStartError(str(error)) from error
        async with start() as playing:
            yield playing, dialect


def _kek(plan: Plan) -> Key:
    return read_development_kek(network_kek_path(plan.certs, NETWORK_NAME), NETWORK_NAME)


def _listen(plan: Plan) -> socket.socket:
    try:
        return socket.create_server((plan.host, plan.port))
    except OSError as error:
        raise CannotStartError(
            f"cannot listen on {plan.host}:{plan.port}: {error.strerror or error}; "
            "choose another with --listen"
        ) from error
