"""A stack and the networks of the cases that share it.

Each case has a network of its own in the stack's settings, with a prefix of card numbers that no
other has, and this process plays it. So cases share switch, HSM and ledger, as merchants do, and
each can be looked at alone. What a case may not disturb (processes, the ledger, the clock) is for
cases with a stack of their own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, TypeVar

import attrs
import msgspec
import trio

from certification import profile
from certification.desk import CLOCK_FILE, CRASH_FILE, Desk
from certification.network import Certificates, PlayedNetwork, listen
from certification.registry import Script
from certification.witnesses import Ledger
from chassis.clock import write_offset
from chassis.crash_points import disarm
from chassis.pki import development_pki
from chassis.settings import Network, Settings
from ledger.roles import READER
from network_sim.authenticated import write_authenticated_dialect
from stack.database import dsn_of_running
from stack.temporary import TemporaryStack, stack_in
from switch.iso8583 import load_dialect
from turnout_client import RetryPolicy
from turnout_client.on_trio import TrioTurnout

T = TypeVar("T")
PREFIX_STEM: Final = "4242"  # of every card number: 4242 is what test cards begin with
NETWORK_STEM: Final = "network"  # file names of the networks' certificate
CASES_PER_STACK_MAX: Final = 10  # each network has metrics, and a process bounds their number
CLIENTS_MAX: Final = 1_024
DEFAULT_NETWORKS: Final = ("vsim", "msim")  # every stack has them; here they stay idle
CLOSED_PORT: Final = 9  # where nobody listens: idle networks dial it now and then
IDLE_RECONNECT_S: Final = 60.0


@attrs.define(kw_only=True)
class Bench:
    """A running stack and its networks."""

    stack: TemporaryStack
    shop: TrioTurnout
    ledger: Ledger
    networks: Mapping[str, PlayedNetwork]
    prefixes: Mapping[str, str]
    factor: float
    seed: int
    pki: Path

    def desk(self, case_id: str, nursery: trio.Nursery) -> Desk:
        """The desk of one case."""
        return Desk(
            case_id=case_id,
            network=self.networks[case_id],
            shop=self.shop,
            ledger=self.ledger,
            stack=self.stack,
            random=Random(f"{self.seed} {case_id}"),
            factor=self.factor,
            prefix=self.prefixes[case_id],
            nursery=nursery,
        )


@asynccontextmanager
async def open_bench(
    scripts: Mapping[str, Script], *, factor: float, seed: int, keep: bool
) -> AsyncIterator[Bench]:
    """Run a stack with one played network a case.

    Args:
        scripts: by case id.
        factor: multiplies the timers.
        seed: of what is drawn.
        keep: leave the data directory behind.

    Raises:
        TemporaryStackError: the stack did not become ready.
    """
    folder = _make_folder()
    try:
        async with trio.open_nursery() as nursery:
            async with _bench_in(folder, nursery, scripts, factor=factor, seed=seed) as bench:
                yield bench
            nursery.cancel_scope.cancel()
    finally:
        if not keep:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_remove, folder)


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="turnout-certify-"))
    folder.chmod(0o711)  # other users pass through to what is theirs
    return folder


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _bench_in(
    folder: Path,
    nursery: trio.Nursery,
    scripts: Mapping[str, Script],
    *,
    factor: float,
    seed: int,
) -> AsyncIterator[Bench]:
    pki = make_pki(folder / "data" / "pki")
    authenticated = write_authenticated_dialect(folder)
    networks: dict[str, PlayedNetwork] = {}
    settings: dict[str, Network] = _idle_networks()
    prefixes: dict[str, str] = {}
    for number, (case_id, script) in enumerate(scripts.items(), start=1):
        listeners = await listen()
        prefixes[case_id] = f"{PREFIX_STEM}{number:04d}"
        port = listeners[0].socket.getsockname()[1]
        network = _settings_of(script, factor, port, prefixes[case_id], number)
        if script.macs:
            network = msgspec.structs.replace(network, dialect=str(authenticated))
        name = case_id.lower()
        settings[name] = network
        networks[case_id] = PlayedNetwork(
            name,
            network,
            profile.scaled_simulator(factor),
            load_dialect(network.dialect),
            Certificates(pki / "ca.pem", pki / f"{NETWORK_STEM}.pem", pki / f"{NETWORK_STEM}.key"),
        )
        if script.up:
            networks[case_id].accepting.set()
        nursery.start_soon(networks[case_id].serve, listeners)
    config = folder / "turnout.toml"
    config.write_text(profile.settings_file(settings, profile.sections(factor)))
    (script, *_) = scripts.values()
    overrides = dict(script.stack)
    if script.clock:
        write_offset(folder / CLOCK_FILE, 0)
        overrides["testing.clock_offset_file"] = str(folder / CLOCK_FILE)
    if script.crashes:
        disarm(folder / CRASH_FILE)
        overrides["testing.crash_point_file"] = str(folder / CRASH_FILE)
    async with stack_in(folder, overrides, config=config) as stack:
        ledger = Ledger(dsn_of_running(Settings(), stack.data_dir, stack.endpoints, READER))
        credentials = stack.credentials()
        async with TrioTurnout(
            credentials.publishable_key,
            credentials.secret_key,
            stack.endpoints.api.url,
            policy=RetryPolicy(tries_max=1),
            connections_max=CLIENTS_MAX,
        ) as shop:
            yield Bench(
                stack=stack,
                shop=shop,
                ledger=ledger,
                networks=networks,
                prefixes=prefixes,
                factor=factor,
                seed=seed,
                pki=pki,
            )
        ledger.close()


def make_pki(directory: Path) -> Path:
    """Certificates of the switch and of the networks, under one development CA."""
    roles: dict[str, tuple[str, Literal["client", "server"]]] = {
        NETWORK_STEM: (profile.SERVER_NAME, "server"),
        "switch": (profile.CLIENT_NAME, "client"),
    }
    development_pki(directory, roles)
    return directory


def _idle_networks() -> dict[str, Network]:
    idle = msgspec.structs.replace(
        profile.real_network(),
        simulate=False,
        port=CLOSED_PORT,
        connections=1,
        reconnect_min_s=IDLE_RECONNECT_S,
        reconnect_max_s=IDLE_RECONNECT_S,
    )
    return {
        name: msgspec.structs.replace(idle, acquirer_id=f"{number}00001", bins=(f"9{number}",))
        for number, name in enumerate(DEFAULT_NETWORKS, start=8)
    }


def _settings_of(script: Script, factor: float, port: int, prefix: str, number: int) -> Network:
    changes: dict[str, Any] = {
        "simulate": False,
        "port": port,
        "bins": (prefix,),
        "acquirer_id": f"{400_000 + number}",
        "connections": script.connections,
        **script.settings,
    }
    if "messages" in Network.__struct_fields__:
        changes["messages"] = script.messages
    return profile.scaled_network(factor, changes)


def in_groups(scripts: Mapping[str, Script]) -> list[Mapping[str, Script]]:
    """What shares a stack: so many cases at a time, then each of those that need one alone."""
    shared = [item for item in scripts.items() if not item[1].alone]
    alone = [item for item in scripts.items() if item[1].alone]
    groups = [dict(group) for group in batched(shared, CASES_PER_STACK_MAX)]
    return [*groups, *(dict([item]) for item in alone)]


def batched(items: Sequence[T], size_max: int) -> list[Sequence[T]]:
    """Consecutive runs of items, as equal in size as can be."""
    count = -(-len(items) // size_max)
    return [items[number::count] for number in range(count)]
