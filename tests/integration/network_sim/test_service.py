"""The process of one network, from its launch to its drain."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import attrs
import msgspec
import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest

from chassis.development_keks import (
    DevelopmentKekError,
    development_keks,
    read_development_kek,
)
from chassis.key_block import unwrap_key
from chassis.mac import Cmac
from chassis.metrics import Metrics
from chassis.service import Service
from chassis.settings.tree import Settings
from chassis.tls import TLSFilesError
from network_sim.faults import ScriptError
from network_sim.journal import JournalError, read_journal
from network_sim.keys import MacKey
from network_sim.macs import seal, with_mac_elements
from network_sim.service import journal_path, serve
from switch.iso8583 import Dialect
from switch.iso8583.key_data import KeyData
from tests.support.network import Acquirer, management, sale
from tests.support.network_host import NETWORK, RunningNetwork, make_pki


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """What the supervisor hands down."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield listener
    listener.close()


@pytest.fixture
def service(tmp_path: Path, listener: socket.socket) -> Service:
    """A process called vsim, on a data directory with certificates."""
    make_pki(tmp_path / "pki")
    return _service(tmp_path, listener)


def _service(data_dir: Path, listener: socket.socket) -> Service:
    registry = CollectorRegistry()
    metrics = Metrics("vsim")
    registry.register(metrics)
    return Service(
        name="vsim",
        index=0,
        settings=msgspec.structs.replace(Settings(), networks={"vsim": NETWORK}),
        data_dir=data_dir,
        listeners={"network": listener},
        endpoints={},
        secrets={},
        allowed_uids={},
        registry=registry,
        metrics=metrics,
    )


async def _dial(service: Service, dialect: Dialect) -> Acquirer:
    port: int = service.listeners["network"].getsockname()[1]
    network = RunningNetwork(
        host=None,  # type: ignore[arg-type]  # the host is the service's own here
        port=port,
        journal=journal_path(service.data_dir, service.name),
        stop=service.draining,
        pki=service.data_dir / "pki",
        dialect=dialect,
    )
    return await network.sign_on()


async def test_a_network_serves_until_it_drains(service: Service, dialect: Dialect) -> None:
    """Messages are answered and recorded; draining ends the process's work."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, service)
        acquirer = await _dial(service, dialect)
        assert (await acquirer.ask(sale()))[39] == "00"
        service.draining.set()
        with pytest.raises(EOFError):
            await acquirer.receive()
        await acquirer.stream.aclose()
    [entry] = read_journal(journal_path(service.data_dir, "vsim"))
    assert entry.stan == "000123"


async def test_what_happens_is_counted(service: Service, dialect: Dialect) -> None:
    """Decisions by code, repeats and connections are series of the process."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, service)
        acquirer = await _dial(service, dialect)
        for _ in range(2):
            await acquirer.ask(sale())
        await acquirer.ask(sale({43: None}))
        page = generate_latest(service.registry).decode()
        service.draining.set()
        await acquirer.stream.aclose()
    for line in (
        'turnout_vsim_issuer_decided_total{code="00"} 1.0',
        'turnout_vsim_issuer_decided_total{code="05"} 0.0',
        'turnout_vsim_issuer_refused_total{code="30"} 1.0',
        "turnout_vsim_issuer_repeats_total 1.0",
        "turnout_vsim_messages_frames_total 4.0",
        "turnout_vsim_connections_accepted_total 1.0",
    ):
        assert line in page.splitlines()


async def test_the_next_process_remembers(
    service: Service, dialect: Dialect, tmp_path: Path
) -> None:
    """A process that was canceled on the spot has told everything that it answered."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, service)
        acquirer = await _dial(service, dialect)
        first = await acquirer.ask(sale())
        nursery.cancel_scope.cancel()
    await acquirer.stream.aclose()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        successor = _service(tmp_path, listener)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, successor)
            acquirer = await _dial(successor, dialect)
            assert await acquirer.ask(sale()) == first
            assert (await acquirer.ask(management("301")))[39] == "00"
            successor.draining.set()
            await acquirer.stream.aclose()
    assert len(list(read_journal(journal_path(tmp_path, "vsim")))) == 1


async def test_a_damaged_record_stops_the_start(service: Service) -> None:
    """A network that cannot know what it decided does not decide."""
    path = journal_path(service.data_dir, "vsim")
    path.parent.mkdir()
    path.write_text("not a line\n")
    with pytest.raises(JournalError, match=r"vsim\.log: line 1: 1 columns"):
        await serve(service)


async def test_missing_certificates_stop_the_start(tmp_path: Path, listener: socket.socket) -> None:
    """The error names the file."""
    with pytest.raises(TLSFilesError, match=r"ca\.pem: No such file"):
        await serve(_service(tmp_path, listener))


async def test_a_network_follows_its_script(
    service: Service, dialect: Dialect, tmp_path: Path
) -> None:
    """As the settings say; a script that cannot be used stops the start."""
    script = tmp_path / "faults.toml"
    script.write_text(
        '[[rules]]\nmatch = { mti = "0200" }\naction = { do = "answer", code = "51" }'
    )
    scripted = _with_network(service, script=str(script))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, scripted)
        acquirer = await _dial(scripted, dialect)
        assert (await acquirer.ask(sale()))[39] == "51"
        scripted.draining.set()
        await acquirer.stream.aclose()
    script.write_text("nonsense")
    with pytest.raises(ScriptError, match=r"faults\.toml"):
        await serve(_with_network(service, script=str(script)))


async def test_a_network_with_macs_keeps_its_keys(
    service: Service, dialect: Dialect, tmp_path: Path
) -> None:
    """Where the dialect wants them: asked for once, good for the next process as well."""
    development_keks(tmp_path / "networks", ["vsim"])
    with_macs = _dialect_with_macs(tmp_path)
    keyed = _with_network(service, dialect=with_macs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, keyed)
        acquirer = await _dial(keyed, dialect)
        answer = await acquirer.ask(management("161"))
        kek = read_development_kek(tmp_path / "networks" / "vsim.kek", "vsim")
        _, material = unwrap_key(kek.reveal(), KeyData.of(answer).key_block)
        key = MacKey(KeyData.of(answer).key_id, Cmac(material), "")
        sealed = seal(dialect.encode(with_mac_elements(sale(), key)), key)
        await acquirer.send_frame(sealed)
        assert (await acquirer.receive())[39] == "00"
        keyed.draining.set()
        await acquirer.stream.aclose()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        successor = _with_network(_service(tmp_path, listener), dialect=with_macs)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, successor)
            acquirer = await _dial(successor, dialect)
            await acquirer.send_frame(sealed)
            assert (await acquirer.receive())[39] == "00"
            successor.draining.set()
            await acquirer.stream.aclose()


async def test_macs_without_an_exchange_key_stop_the_start(
    service: Service, tmp_path: Path
) -> None:
    """The error names the file."""
    with pytest.raises(DevelopmentKekError, match=r"vsim\.kek: cannot be read"):
        await serve(_with_network(service, dialect=_dialect_with_macs(tmp_path)))


def _dialect_with_macs(folder: Path) -> str:
    """NET87B with MACs, as a file."""
    text = resources.files("switch.dialects").joinpath("net87b.toml").read_text("utf-8")
    path = folder / "macs.toml"
    path.write_text(text.replace('mac = "none"', 'mac = "cmac"'))
    return str(path)


def _with_network(service: Service, **changes: str) -> Service:
    """A service whose network is set otherwise."""
    network = msgspec.structs.replace(NETWORK, **changes)
    settings = msgspec.structs.replace(service.settings, networks={"vsim": network})
    return attrs.evolve(service, settings=settings, draining=trio.Event())
